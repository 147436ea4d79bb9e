"""NeuralBox as tools for agents: a server of the Model Context Protocol, over stdio and streamable HTTP.

    neuralbox mcp --to results --budget 500

or, in a program of one's own,

    from neuralbox.mcp import McpSettings, build_server, serve_stdio

    async with AsyncNeuralBox(budget=500) as nb:
        await serve_stdio(build_server(nb, McpSettings(directory=Path("results"))))

It translates; what matters is the client's: one charge whatever is repeated (each call is a keyed submission), cheap waiting,
the budget, the journal. The protocol is the official SDK's business, all its revisions up to 2026-07-28.

The extra brings what it needs: `pip install 'neuralbox[mcp]'`.

Source:
    Model Context Protocol, revisions 2025-11-25 and 2026-07-28 (tools, resources, progress, cancellation, elicitation,
    multi round-trip requests), as the `mcp` package 2.3 implements them.
"""

from __future__ import annotations

try:
    from ._http import http_app, serve_http
    from ._server import build_server
    from ._settings import McpSettings
    from ._stdio import serve_stdio
except ModuleNotFoundError as _error:  # of the SDK, not of this package: imports are absolute
    _missing = (_error.name or "").partition(".")[0]
    if _missing not in {"mcp", "uvicorn"}:
        raise
    raise ModuleNotFoundError(
        f"neuralbox.mcp needs {_missing}: pip install 'neuralbox[mcp]'", name=_error.name
    ) from _error

__all__ = ["McpSettings", "build_server", "http_app", "serve_http", "serve_stdio"]
