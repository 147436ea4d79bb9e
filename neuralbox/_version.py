"""The version of the package, once: the build reads it from here, and so does the `User-Agent`."""

from __future__ import annotations

# Without an annotation: hatch reads this line with a pattern that knows none.
__version__ = "0.1.0"
