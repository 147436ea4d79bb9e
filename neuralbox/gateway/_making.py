"""Making the application from what an operator says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from .._client import AsyncNeuralBox
from .._errors import ConfigurationError
from .._journal import is_address
from ._app import Gateway
from ._callers import CallerRegistry, GatewayAccount, OwnKeyCallers, PassedOnCallers
from ._keys import KeyFile
from ._orders import Translator

MAX_BODY_BYTES: Final = 32 * 1024 * 1024


def app(
    client: AsyncNeuralBox | None = None,
    *,
    keys: KeyFile | str | os.PathLike[str] | None = None,
    connect: Callable[[str], AsyncNeuralBox] | None = None,
    journal: str | os.PathLike[str] | None = None,
    join_equal: float = 0.0,
    model_names: Mapping[str, str] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    grace: float = 30.0,
) -> Gateway:
    """Make the ASGI application, to be served, or mounted at the root of a host in another one.

    Args:
        client: The operator's client: its account pays, its budget holds for all callers, its hooks are told. It is not
            closed here. None for callers who bring their own keys of the service.
        keys: The file with the callers' keys; goes with `client`.
        connect: Makes the client of a caller's own key of the service; goes without `client`. Default: `AsyncNeuralBox`.
        journal: The file that keeps what is bought, so that a repetition after a crash joins it too; None remembers for
            as long as the process runs. It holds prompts, and is no database that many share. Without `client` each account has its own beside this path.
        join_equal: Seconds within which an equal body from the same caller joins without any sign that it is a
            repetition; 0 for never. For clients that repeat without saying so.
        model_names: Further names of models, and the slugs they stand for.
        max_body_bytes: A longer request is refused.
        grace: Seconds that stopping waits for what is on its way to the service.

    Raises:
        ConfigurationError: `client` came without `keys`, `journal` is an address, or something cannot be right.
    """
    if max_body_bytes < 1 or join_equal < 0 or grace < 0:
        raise ConfigurationError("`max_body_bytes` must be at least 1; `join_equal` and `grace` at least 0.")
    if journal is not None and is_address(journal):
        raise ConfigurationError(
            "The gateway's journal is a file of its own, such as `gateway.sqlite`; `journal` is the address of a database."
        )
    path = None if journal is None else os.fspath(journal)
    callers: CallerRegistry
    if client is None:
        if keys is not None:
            raise ConfigurationError(
                "`keys` goes with `client`: keys of the gateway's own spend the operator's tokens."
            )
        made = connect or (lambda key: AsyncNeuralBox(api_key=key))
        callers = PassedOnCallers(made, journal=path, join_equal=join_equal)
    else:
        if keys is None or connect is not None:
            raise ConfigurationError(
                "With `client` callers need keys of the gateway's own: pass `keys=`, and no `connect=`."
            )
        account = GatewayAccount(client, journal=path, join_equal=join_equal)
        callers = OwnKeyCallers(account, keys if isinstance(keys, KeyFile) else KeyFile(keys))
    translator = Translator(dict(model_names or {}))
    return Gateway(callers, translator=translator, max_body_bytes=max_body_bytes, grace=grace)
