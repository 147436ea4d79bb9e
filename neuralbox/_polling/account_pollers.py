"""The pollers of an account, one for each event loop: who waits asks `poller_of`, and a webhook's event goes to all of them."""

from __future__ import annotations

from .._concurrency.per_loop import PerLoop
from .._core.exchange import Core
from .._errors import ConfigurationError
from .._models.webhook_event import WebhookEvent
from .durations import DurationLog
from .listed_fields import ListedFields
from .listing import SweepPlanner
from .poller import Poller
from .seen_events import SeenEvents


def notify(core: Core, event: WebhookEvent) -> bool:
    """Have the job of an event polled by those of this process who wait for it, in whichever loop and thread.

    Returns:
        Whether anybody does; False for an event that was had before.

    Raises:
        ConfigurationError: It is of another service.
    """
    service = core.options.service.name
    if event.service != service:
        raise ConfigurationError(f"The event is of {event.service}; this client's service is {service}.")
    return core.account.state(AccountPollers, AccountPollers).tell(str(event.generation_id), event.key)


class AccountPollers:
    """The pollers of one account, one for each event loop; they share what was seen of models and their listings."""

    __slots__ = ("durations", "events", "fields", "pollers")

    def __init__(self) -> None:
        self.durations = DurationLog()
        self.events = SeenEvents()
        self.fields = ListedFields()
        self.pollers: PerLoop[Poller] = PerLoop()

    def tell(self, key: str, event: str) -> bool:
        """Have a job polled for the sake of an event; return whether anybody waits for it and was not told before."""
        told = [poller for poller in self.pollers.all() if poller.find(key) is not None]
        if not told or not self.events.add(event):
            return False
        for poller in told:
            poller.confirm(key)
        return True


def poller_of(core: Core) -> Poller:
    """Return the running loop's poller of a client's account."""
    account = core.account.state(AccountPollers, AccountPollers)
    return account.pollers.get(
        lambda: Poller(core, account.durations, SweepPlanner(), account.fields, account.tell, account.events)
    )
