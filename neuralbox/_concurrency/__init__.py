"""Small tools for what runs at once: one value a loop, one flight for many, news for whoever waits. Knows nothing of us."""
