"""Keeping downloads out of private networks while the service is a public one.

A host is judged twice: as it is written, before anything is done, and by the address it turned out to have, before a byte
is sent. The second is not possible behind a proxy, which resolves names itself, nor under a client or transport of the
user's own. A service that turned out to have a private address is in the same network as its storage may be.
"""

from __future__ import annotations

import errno
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Final

from .._api.addresses import is_private_address
from .._errors import DownloadError

only_public: Final[ContextVar[bool]] = ContextVar("only_public", default=False)
"""Whether the running request may be sent to public addresses only."""


class PrivateAddressError(OSError):
    """A download's host has a private address."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "Private address")


class PeerGuard:
    """Judges the addresses that one event loop's connections lead to.

    Args:
        sees_peers: Whether they are those of the hosts asked for, not a proxy's.
    """

    __slots__ = ("_has_private_service", "_sees_peers")

    def __init__(self, *, sees_peers: bool) -> None:
        self._sees_peers = sees_peers
        self._has_private_service = False

    def check(self, address: str) -> None:
        """Refuse an address that a download may not be fetched from.

        Raises:
            PrivateAddressError: It is a private one.
        """
        if not self._sees_peers or not is_private_address(ip_address(address.partition("%")[0])):
            return
        if not only_public.get():
            self._has_private_service = True
        elif not self._has_private_service:
            raise PrivateAddressError


def private_host_error(host: str) -> DownloadError:
    """Build the error of a file that is not fetched."""
    return DownloadError(
        f"The file's address leads into a private network ({host}), while the service is a public one; nothing was sent. "
        "`private_files=True` of the client allows it."
    )


def was_private(exc: BaseException, until: BaseException | None) -> bool:
    """Tell whether a failure goes back to `PrivateAddressError`.

    Args:
        exc: The failure; its causes and contexts follow.
        until: What was being handled when the request began, which may be such a failure itself.
    """
    seen: BaseException | None = exc
    while seen is not None and seen is not until and not isinstance(seen, PrivateAddressError):
        seen = seen.__cause__ or seen.__context__
    return isinstance(seen, PrivateAddressError)
