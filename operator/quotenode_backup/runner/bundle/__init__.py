"""The format of a bundle. A bundle is written while its members arrive, and read back to the last byte."""
