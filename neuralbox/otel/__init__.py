"""OpenTelemetry traces of what a client does, by its hooks.

    from neuralbox import AsyncNeuralBox
    from neuralbox.otel import tracing

    async with AsyncNeuralBox(hooks=tracing()) as nb:
        ...

One span for each call, a child of the span that is current where the call is made; attempts, repetitions and what became
of the money are its events. A generation's span follows the GenAI semantic conventions (`chat gpt-5`,
`generate_content flux-1.1-pro`) and lasts as long as the call, waiting included; every other exchange has a span by the
HTTP conventions (`GET /generate/{id}`). No span holds a key, a prompt, a header, a query, an address of a result or what
the service wrote.

The extra brings what it needs: `pip install 'neuralbox[otel]'`.

Source:
    OpenTelemetry semantic conventions, "Semantic conventions for generative client AI spans" and "Semantic conventions
    for HTTP spans", as of semconv 1.41.
"""

from __future__ import annotations

try:
    from ._spans import tracing
except ModuleNotFoundError as _error:
    if _error.name is None or _error.name.partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(
        "neuralbox.otel needs opentelemetry-api: pip install 'neuralbox[otel]'", name=_error.name
    ) from _error

__all__ = ["tracing"]
