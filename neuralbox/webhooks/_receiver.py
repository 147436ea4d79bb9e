"""`WebhookReceiver` and `notify`: from a posted body to a poll, in this process or in another, for any web framework."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

from .._errors import ConfigurationError
from .._models.webhook_event import ServiceName, WebhookEvent, read_event
from .._polling.seen_events import SeenEvents
from ._signature import SIGNATURE_HEADER, read_key, verify_signature

HeaderPairs: TypeAlias = Iterable[tuple[str | bytes, str | bytes]]
JournalPlace: TypeAlias = str | os.PathLike[str]


def notify(event: WebhookEvent, *, journal: JournalPlace) -> bool:
    """Tell the process that waits for an event's generation, through its journal; needs no client and sends nothing.

    Whoever waits for the jobs of that journal (a batch, or a job of `submit(journal=)`) asks the service once, within
    `Polling.min_interval` seconds or a second. What is written is a hint: the generation's id and a digest of the event. It
    changes nothing in the journal's records, is about generations only that the journal has as accepted, and counts once.

    It blocks for some milliseconds, in a journal of 100,000 requests for tens of them; in an event loop, call it in a thread.

    Args:
        event: As `read_event` returns it; `WebhookReceiver` does both.
        journal: The file of the journal on this machine, or its address in PostgreSQL.

    Returns:
        Whether it was new, about a generation that is waited for by that journal; False too where there is no such file.

    Raises:
        JournalError: The journal cannot be read or written.
    """
    from .._journal import leave_hint  # SQLite is loaded where there is a journal

    return leave_hint(journal, event.generation_id, event.key)


class NotifiedClient(Protocol):
    """What is told of events: any client, of either service, async or blocking."""

    @property
    def service_name(self) -> ServiceName: ...

    def notify(self, event: WebhookEvent) -> bool: ...


class WebhookReceiver:
    """Reads events, verifies them where there is a key, drops repeated ones, and tells whoever waits.

        receiver = WebhookReceiver(gg, public_key=pem)
        event = receiver.receive(body, headers)
        if event is not None:
            ...                                 # new; ask the service before anything depends on it

    It may be used from any thread and any event loop.

    Args:
        client: Whose generations these are: `AsyncNeuralBox`, `AsyncGeminiGen`, or a blocking one, whose waits in this
            process are told. Where this process waits for nothing, the service's name does: `neuralbox` or `geminigen`.
        public_key: GeminiGen's public key, in PEM; without one nothing is verified, which costs no more than polls.
        journal: Journals of other processes that wait, told as by `notify`: one place, several, or None. `receive` then
            blocks for some milliseconds.

    Raises:
        ConfigurationError: There is a key, and it is none, the service signs nothing, or the extra `webhooks` is not
            installed; or there is no such service.
    """

    def __init__(
        self,
        client: NotifiedClient | ServiceName,
        *,
        public_key: str | bytes | None = None,
        journal: JournalPlace | Sequence[JournalPlace] | None = None,
    ) -> None:
        self._client = None if isinstance(client, str) else client
        service: Any = client if isinstance(client, str) else getattr(client, "service_name", client)
        if service not in ("neuralbox", "geminigen"):
            raise ConfigurationError(f"`client` is a client, 'neuralbox' or 'geminigen'; it is {service!r}.")
        if public_key is not None and service != "geminigen":
            raise ConfigurationError("NeuralBox signs no events: a `public_key` belongs to GeminiGen's.")
        if public_key is not None:
            read_key(public_key)  # here once, and not with each delivery
        self._service: ServiceName = service
        self._public_key = public_key
        self._journals = [journal] if isinstance(journal, str | os.PathLike) else [*(journal or ())]
        self._seen = SeenEvents()

    @property
    def blocks(self) -> bool:
        """Whether `receive` blocks for some milliseconds, since it writes to a journal."""
        return bool(self._journals)

    def receive(self, body: bytes | str, headers: Mapping[str, str] | HeaderPairs) -> WebhookEvent | None:
        """Take an event that was posted, and have the generation asked for if somebody waits for it.

        Args:
            body: The body of the request, as it came.
            headers: Its headers, as a framework has them: by their names, of any case, or in pairs, of bytes too.

        Returns:
            The event; None for one that was received before.

        Raises:
            WebhookError: It cannot be read, or its signature is not one of it; `.status_code` is what to answer.
            JournalError: A journal could not be written; the event counts as not received.
        """
        event = read_event(body, self._service)
        if self._public_key is not None:
            verify_signature(event, _signature_among(headers), self._public_key)
        if not self._seen.add(event.key):
            return None
        if self._client is not None:
            self._client.notify(event)
        try:
            for journal in self._journals:
                notify(event, journal=journal)
        except BaseException:
            self.forget(event)
            raise
        return event

    def forget(self, event: WebhookEvent) -> None:
        """Take an event as new when it is delivered again: what was to be done about it has failed."""
        self._seen.discard(event.key)


def _signature_among(headers: Mapping[str, str] | HeaderPairs) -> str | None:
    # What a framework calls headers need not be a Mapping: Werkzeug's and the standard library's have `items` all the same.
    items: Callable[[], HeaderPairs] | None = getattr(headers, "items", None)
    pairs = cast("HeaderPairs", headers) if items is None else items()
    return next((_as_text(value) for name, value in pairs if _as_text(name).lower() == SIGNATURE_HEADER), None)


def _as_text(word: str | bytes) -> str:
    return word.decode("latin-1") if isinstance(word, bytes) else word
