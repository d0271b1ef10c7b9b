"""What is true without a cluster, a clock or a disk: names, reasons, the shape of a bundle."""
