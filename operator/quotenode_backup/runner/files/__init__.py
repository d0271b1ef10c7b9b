"""The volumes of files. Their folders are entered without following links, and archived."""
