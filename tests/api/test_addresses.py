"""Which hosts belong to a private network, however they are written."""

from __future__ import annotations

import pytest

from neuralbox._api.addresses import is_private_host

PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1"),
    *(
        "::1",
        "[::1]",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "[::ffff:a9fe:a9fe]",
    ),
    *("2002:7f00:1::", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1"),
    *("127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "0x7f000001", "127.0.0.1."),
    *(
        "localhost",
        "LOCALHOST",
        "api.localhost",
        "localhost.",
        "printer.local",
        "metadata.google.internal",
        "nas.home.arpa",
    ),
    *("metadata", "sandbox", "a.lan"),
]
PUBLIC = [
    *(
        "neuralbox.top",
        "storage.neuralbox.top",
        "1.1.1.1",
        "8.8.8.8",
        "2606:4700::1111",
        "[2606:4700::1111]",
        "a.b.c.d.net",
    ),
    *(
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
        "internal.example.com",
        "localhost.example.com",
        "1password.com",
    ),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_host_of_a_private_network_is_known(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_host_is_left_alone(host: str) -> None:
    assert not is_private_host(host)
