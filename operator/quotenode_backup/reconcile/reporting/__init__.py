"""What a pass says: status, conditions, Events, and when it is to be made again."""
