"""Rules that need no cluster, clock or disk: names, reasons, times, retention and the format of a bundle."""
