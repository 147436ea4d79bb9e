"""neuralbox.webhooks: what the services say by themselves, as hints that save polls.

    from neuralbox.webhooks import WebhookReceiver

    receiver = WebhookReceiver(nb)
    event = receiver.receive(body, headers)     # read, verified where there is a key, and told to the waits

An event makes the poller of its account ask for that generation once, at once; what the event says is never believed.
A made-up one costs that one request, and a repeated one nothing. A process that waits for nothing tells the one that does
through its journal: `notify(event, journal=...)`, or `WebhookReceiver("geminigen", journal=...)`. `starlette_route` makes a route of a receiver; for Flask
and others it is one line (docs/guides/webhooks.md). `verify_signature` needs the extra `webhooks` (cryptography).
"""

from __future__ import annotations

from .._models.webhook_event import WebhookEvent, read_event
from ._receiver import WebhookReceiver, notify
from ._signature import verify_signature
from ._starlette import starlette_route

__all__ = ["WebhookEvent", "WebhookReceiver", "notify", "read_event", "starlette_route", "verify_signature"]
