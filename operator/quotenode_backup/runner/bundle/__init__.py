"""The format of a bundle: written while its members arrive, and read back to the last byte."""
