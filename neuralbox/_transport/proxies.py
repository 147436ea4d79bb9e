"""Which proxy a request goes through, by what the environment says.

The variables are those of httpx (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`; on Windows and macOS the system's settings).
`NO_PROXY` is read as curl reads it: networks of both families, IPv6 with or without brackets, names with or without
their leading dot, commas or blanks between them, and what cannot be read is passed over. Beyond that it takes httpx's
own forms, a port or a scheme.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpx

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ProxyRoutes:
    """What the environment says of proxies.

    Attributes:
        proxies: Pattern of httpx's (`http://`, `all://*example.com`) to the address of a proxy, or None for none.
        direct: Networks that are reached without one.
    """

    proxies: Mapping[str, str | None]
    direct: Sequence[Network]

    def is_direct(self, host: str) -> bool:
        """Tell whether a host is an address inside one of the networks."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.direct)


def read_proxies(said: Mapping[str, str]) -> ProxyRoutes:
    """Read what `urllib.request.getproxies` found: scheme to address, and the exceptions under `no`."""
    exceptions = re.split(r"[\s,]+", said.get("no", "").strip())
    if "*" in exceptions:
        return ProxyRoutes({}, ())
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        address = said.get(scheme)
        if address:
            proxies[f"{scheme}://"] = address if "://" in address else f"http://{address}"
    direct = []
    for exception in exceptions:
        network = _network(exception)
        if network is not None:
            direct.append(network)
        elif (pattern := _pattern(exception)) is not None:
            proxies[pattern] = None
    return ProxyRoutes(proxies, direct)


def _network(text: str) -> Network | None:
    address, slash, length = text.partition("/")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    try:
        return ip_network(f"{address}{slash}{length}", strict=False)
    except ValueError:
        return None


def _pattern(text: str) -> str | None:
    """Return httpx's pattern of a name, None for what is none."""
    name = text.removeprefix(".")
    pattern = text if "://" in text else f"all://{name}" if name.lower() == "localhost" else f"all://*{name}"
    try:
        return pattern if httpx.URL(pattern).host.strip("*") else None
    except (httpx.InvalidURL, UnicodeError):  # the second: a host that idna refuses to decode
        return None
