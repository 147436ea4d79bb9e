"""Which hosts are of a private network: this machine, its neighbours, a cloud's metadata. Pure: nothing is resolved.

Addresses of files come from the service, and redirects from whoever serves them. A program in a data centre that fetched
whatever they name would ask its own neighbours in a stranger's name.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

# Names that only a private network or this machine answers (RFC 6761, 6762, 8375, ICANN's `internal`).
_PRIVATE_ENDINGS: Final = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan")
# `127.1`, `0x7f.0.0.1`, `2130706433`: what resolvers read as an IPv4 address although it is not written as one.
_NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)
# An IPv4 address inside an IPv6 one, for translators (RFC 6052).
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")


def is_private_host(host: str) -> bool:
    """Tell whether a host, as it stands in a URL, is of a private network; a name is judged by its ending."""
    host = host.strip("[]").partition("%")[0].rstrip(".").lower()
    try:
        return is_private_address(ip_address(host))
    except ValueError:
        return "." not in host or host.endswith(tuple(f".{end}" for end in _PRIVATE_ENDINGS)) or _is_numeric(host)


def is_private_address(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is anything but a public one of a single host."""
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in _TRANSLATED:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return is_private_address(inside)
    return not address.is_global or address.is_multicast


def _is_numeric(host: str) -> bool:
    return _NUMERIC.fullmatch(host) is not None
