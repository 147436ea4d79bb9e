"""The plan's request windows, and when a paid request may leave."""
