"""What paid requests cost: prices asked ahead, and charges booked when they are known."""
