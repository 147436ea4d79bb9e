"""A local service with the whole NeuralBox API: real HTTP, real files, a ledger of its own, faults on request.

It answers every documented endpoint on a loopback port, strict where the documents are; what it assumes where they
are silent is listed in `ASSUMPTIONS`. It shares the service's words with the client and no code, so that the two
cannot be wrong in the same way.

    from neuralbox.sandbox import Sandbox, serve

    with serve(Sandbox(speed=20)) as server:
        ...  # a client with base_url=server.url and any key that starts with nb_
        assert server.sandbox.ledger.charged == 26

The extra brings what it needs: `pip install 'neuralbox[sandbox]'`.
"""

from __future__ import annotations

from ._assumptions import ASSUMPTIONS
from ._records import Charge, Received, StoredGeneration

try:
    from ._faults import Faults
    from ._sandbox import Sandbox
    from ._serving import Server, run, serve
except ModuleNotFoundError as _error:
    if _error.name is None or _error.name.partition(".")[0] not in {"anyio", "starlette", "uvicorn"}:
        raise
    raise ModuleNotFoundError(
        f"The sandbox needs {_error.name}: pip install 'neuralbox[sandbox]'", name=_error.name
    ) from _error

__all__ = [
    "ASSUMPTIONS",
    "Charge",
    "Faults",
    "Received",
    "Sandbox",
    "Server",
    "StoredGeneration",
    "run",
    "serve",
]
