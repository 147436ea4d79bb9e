"""Consent: a person is asked before a call spends more than the operator allows without asking.

By what the client has. Up to protocol 2025-11-25 the server asks it while the call goes on (elicitation). The protocol
of 2026-07 has no way back: there the answer of the call is the question, and the client calls again with what the
person said; between the two the price that was shown travels sealed (`RequestStateBoundary`), so that a yes to 4 tokens is
none to 400. A client with neither gets the price as a refusal, and calls again with `confirm`; where the client can ask
a person, `confirm` counts for nothing, since a model could write it by itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    TextContent,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

_QUESTION: Final = "consent"
# A form with one box, which nobody has ticked yet: to send it off unread buys nothing.
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"buy": {"type": "boolean", "title": "Spend the tokens", "default": False}},
    "required": ["buy"],
}


@dataclass(frozen=True, slots=True)
class PaidOffer:
    """What a person is asked about.

    Attributes:
        words: What would be made, for people.
        tokens: What it would cost; None where nobody knows.
    """

    words: str
    tokens: int | None

    @property
    def price(self) -> str:
        """Return the price in words."""
        return "an unknown number of tokens" if self.tokens is None else f"{self.tokens} tokens"


async def ask_consent(
    ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, offer: PaidOffer, confirm: int | None
) -> CallToolResult | InputRequiredResult | None:
    """Return None where a person has agreed to an offer, else what the call is answered with.

    Args:
        ctx: The call.
        params: What came with it.
        offer: What it would cost.
        confirm: The tokens that the caller says were agreed to; counts only where the client cannot ask.
    """
    question = f"Spend {offer.price} on {offer.words}?"
    if not _can_ask(ctx):
        if confirm is not None and (offer.tokens is None or offer.tokens <= confirm):
            return None
        number = "any number" if offer.tokens is None else offer.tokens
        return refusal(
            f"Nothing was bought: this costs {offer.price}. Ask the user, and if they agree, call again with the same "
            f"arguments and confirm={number}.",
            tokens=offer.tokens,
        )
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        said = (params.input_responses or {}).get(_QUESTION)
        if isinstance(said, ElicitResult) and (said.action != "accept" or _was_shown(params.request_state, offer)):
            return _decided(said, offer)
        asked = ElicitRequest(params=ElicitRequestFormParams(message=question, requested_schema=_FORM))
        return InputRequiredResult(
            input_requests={_QUESTION: asked}, request_state=json.dumps({"tokens": offer.tokens})
        )
    try:
        said = await ctx.session.elicit_form(question, _FORM, related_request_id=ctx.request_id)
    except MCPError as error:
        return refusal(f"Nothing was bought: the user could not be asked ({error.error.message}).", tokens=offer.tokens)
    return _decided(said, offer)


def refusal(said: str, **facts: Any) -> CallToolResult:
    """Build the answer of a call that did not do what it was asked for."""
    return CallToolResult(
        content=[TextContent(text=said)],
        structured_content={"error": said} | {name: value for name, value in facts.items() if value is not None},
        is_error=True,
    )


def _can_ask(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    elicitation = None if capabilities is None else capabilities.elicitation
    # Before there were modes, an empty object meant forms.
    has_forms = elicitation is not None and (elicitation.form is not None or elicitation.url is None)
    return has_forms and (ctx.protocol_version in MODERN_PROTOCOL_VERSIONS or ctx.session.can_send_request)


def _was_shown(state: str | None, offer: PaidOffer) -> bool:
    """Whether the price that a person saw covers what it costs now."""
    if state is None:
        return False
    shown: int | None = json.loads(state)["tokens"]  # sealed by us, so it is ours
    return shown is offer.tokens if shown is None or offer.tokens is None else offer.tokens <= shown


def _decided(said: ElicitResult, offer: PaidOffer) -> CallToolResult | None:
    if said.action == "accept" and (said.content or {}).get("buy") is True:
        return None
    return refusal(f"Nothing was bought: the user did not agree to spend {offer.price}.", tokens=offer.tokens)
