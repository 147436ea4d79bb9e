"""httpcore2 under httpx: the default engine."""
