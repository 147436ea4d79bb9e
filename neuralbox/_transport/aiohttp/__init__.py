"""aiohttp under httpx: the engine of the `speed` extra."""
