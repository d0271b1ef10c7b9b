"""The volumes of files: reached without following a link, and archived."""
