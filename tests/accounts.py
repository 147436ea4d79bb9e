"""An account at a sandbox that runs on a socket, as tests of whole programs have one each."""

from __future__ import annotations

from dataclasses import dataclass

from neuralbox.sandbox import Sandbox, Server

BALANCE = 100_000
"""Tokens that an account of a sandbox begins with."""


@dataclass(frozen=True)
class ServedAccount:
    """An account, and the service that it is at.

    Attributes:
        server: The service.
        key: The account.
    """

    server: Server
    key: str

    @property
    def sandbox(self) -> Sandbox:
        return self.server.sandbox

    @property
    def environment(self) -> dict[str, str]:
        """What a program is told of both."""
        return {"NEURALBOX_API_KEY": self.key, "NEURALBOX_BASE_URL": self.server.url}

    @property
    def spent(self) -> int:
        """Tokens that the account has paid."""
        return BALANCE - self.sandbox.ledger.balance(self.key)
