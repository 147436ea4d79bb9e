"""Moving requests: `base` is the seam, `engine` the default behind it. No other layer imports an HTTP library."""

from __future__ import annotations

from .base import HttpClient, HttpTransport, Prepared, Reply, StreamedReply, Timeouts, Transport
from .engine import HttpxTransport, build_transport
from .limits import Limits

__all__ = [
    "HttpClient",
    "HttpTransport",
    "HttpxTransport",
    "Limits",
    "Prepared",
    "Reply",
    "StreamedReply",
    "Timeouts",
    "Transport",
    "build_transport",
]
