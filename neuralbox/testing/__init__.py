"""Fixtures, virtual time and ledger assertions for those who test a program that uses neuralbox. PYTEST_DONT_REWRITE

In the `conftest.py` at the root of the project:

    pytest_plugins = ["neuralbox.testing"]

and every test may ask for

- `neuralbox_in_memory`: a sandbox of the whole API in this process, in virtual time. Nothing opens a socket, and a video of
  a minute and a half costs no real time, on asyncio and on trio;
- `neuralbox_sandbox`: the same behind a real socket on a free port, where time goes 200 times faster;
- `neuralbox_mock`: a respx router with a named route and a documented answer for each endpoint, in virtual time.

Each sets NEURALBOX_API_KEY and NEURALBOX_BASE_URL, so a program that makes its own `AsyncNeuralBox()` or `NeuralBox()`
reaches it unchanged. The sandboxes are a `RunningSandbox`: faults by name, and assertions on what was paid.

    async def test_a_lost_answer_is_not_paid_twice(neuralbox_in_memory):
        neuralbox_in_memory.fault("drop-after-accept", times=1)
        await my_program("A paper boat")
        neuralbox_in_memory.charged_once(prompt="A paper boat")

The settings of `neuralbox.sandbox.Sandbox` are arguments of a mark: `@pytest.mark.neuralbox(dialect="B", balance=10)`.
Nothing is registered by installing the package. The extra brings what it needs: `pip install 'neuralbox[testing]'`.
"""

from __future__ import annotations

try:
    from ._replies import generation, history, refused, streamed
    from ._router import ROUTES, mock_router
    from ._running import FAULTS, RunningSandbox, in_memory, served
    from ._time import FastTime, VirtualTime, using
except ModuleNotFoundError as _error:
    # The sandbox names its own extra; `testing` brings it too.
    _missing = (_error.name or "").partition(".")[0]
    if _missing not in {"respx", "starlette", "uvicorn"}:
        raise
    raise ModuleNotFoundError(
        f"neuralbox.testing needs {_missing}: pip install 'neuralbox[testing]'", name=_missing
    ) from _error

__all__ = [
    "FAULTS",
    "ROUTES",
    "FastTime",
    "RunningSandbox",
    "VirtualTime",
    "generation",
    "history",
    "in_memory",
    "mock_router",
    "pytest_plugins",
    "refused",
    "served",
    "streamed",
    "using",
]

pytest_plugins: tuple[str, ...] = ("neuralbox.testing._fixtures",)
