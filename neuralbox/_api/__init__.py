"""What the service says and is told, as plain values: words, requests, replies. Pure."""
