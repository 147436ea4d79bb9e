"""A text while it is written."""
