"""A paid request: sent at most once, and whatever became of it settled."""
