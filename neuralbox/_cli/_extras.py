"""Which extra brings a module that is not installed."""

from __future__ import annotations

from typing import Final

# The modules an extra brings; any other missing module is a bug of ours and must show.
_CLI: Final = frozenset({"platformdirs", "rich", "typer"})
_SANDBOX: Final = frozenset({"PIL", "av", "python_multipart", "starlette", "uvicorn"})
_REPORT: Final = frozenset({"PIL", "jinja2", "markupsafe"})
_WATCH: Final = frozenset({"textual"})
_MCP: Final = frozenset({"PIL", "mcp", "uvicorn"})
_GATEWAY: Final = frozenset({"python_multipart", "starlette", "uvicorn"})
BROUGHT_BY: Final = {
    "gateway": _CLI | _GATEWAY,
    "cli": _CLI,
    "sandbox": _SANDBOX,
    "demo": _CLI | _SANDBOX,
    "mcp": _CLI | _MCP,
    "otel": frozenset({"opentelemetry"}),
    "report": _REPORT,
    "watch": _CLI | _WATCH,
}


def missing_extra(error: ModuleNotFoundError, extra: str) -> str | None:
    """Say in one sentence what to install, or None if the missing module belongs to no extra.

    Args:
        error: What the import raised.
        extra: The extra that the command needs.
    """
    module = (error.name or "").partition(".")[0]
    if module not in BROUGHT_BY[extra]:
        return None
    return f"This needs `{module}`, which is not installed: run  pip install 'neuralbox[{extra}]'"
