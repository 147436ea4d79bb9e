"""`WebhookReceiver`: from a posted body to a poll, for any web framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .._errors import ConfigurationError
from .._models.webhook_event import ServiceName, WebhookEvent, read_event
from .._polling.seen_events import SeenEvents
from ._signature import SIGNATURE_HEADER, verify_signature


class NotifiedClient(Protocol):
    """What is told of events: any client, of either service, async or blocking."""

    @property
    def service_name(self) -> ServiceName: ...

    def notify(self, event: WebhookEvent) -> bool: ...


class WebhookReceiver:
    """Reads events, verifies them where there is a key, drops repeated ones, and tells the client.

        receiver = WebhookReceiver(gg, public_key=pem)
        event = receiver.receive(body, headers)
        if event is not None:
            ...                                 # new; ask the service before anything depends on it

    It may be used from any thread and any event loop.

    Args:
        client: Whose generations these are: `AsyncNeuralBox`, `AsyncGeminiGen`, or a blocking one.
        public_key: GeminiGen's public key, in PEM; without one nothing is verified, which costs no more than polls.

    Raises:
        ConfigurationError: There is a key, and the client's service signs nothing.
    """

    def __init__(self, client: NotifiedClient, *, public_key: str | bytes | None = None) -> None:
        if public_key is not None and client.service_name != "geminigen":
            raise ConfigurationError("NeuralBox signs no events: a `public_key` belongs to GeminiGen's.")
        self._client = client
        self._public_key = public_key
        self._seen = SeenEvents()

    def receive(self, body: bytes | str, headers: Mapping[str, str]) -> WebhookEvent | None:
        """Take an event that was posted, and have the generation asked for if somebody waits for it.

        Args:
            body: The body of the request, as it came.
            headers: Its headers, under names of any case.

        Returns:
            The event; None for one that was received before.

        Raises:
            WebhookError: It cannot be read, or its signature is not one of it; `.status_code` is what to answer.
            ConfigurationError: The key is none, or the extra `webhooks` is not installed.
        """
        event = read_event(body, self._client.service_name)
        if self._public_key is not None:
            signature = next((value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER), None)
            verify_signature(event, signature, self._public_key)
        if not self._seen.add(event.key):
            return None
        self._client.notify(event)
        return event

    def forget(self, event: WebhookEvent) -> None:
        """Take an event as new when it is delivered again: what was to be done about it has failed."""
        self._seen.discard(event.key)
