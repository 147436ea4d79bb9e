"""The requests that cost tokens, one class a kind."""
