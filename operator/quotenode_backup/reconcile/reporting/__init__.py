"""What a pass leaves behind: status, conditions and Events, and when the next pass is due."""
