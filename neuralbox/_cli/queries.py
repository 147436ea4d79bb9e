"""Commands that ask and change nothing: stats, balance, models, price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .arguments import AsJson, BaseUrl, Model, Params, _known_kinds, _known_models, read_params
from .session import CommandSession

if TYPE_CHECKING:
    from .._client import AsyncNeuralBox
    from .._models.catalogue import ModelInfo


def stats(json: AsJson = False, base_url: BaseUrl = None) -> None:
    """Show how many generations there were and what they cost."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        found = await nb.account.stats()
        session.write_record(found.model_dump(mode="json", exclude={"raw": True, "breakdown": {"__all__": {"raw"}}}))
        if session.as_json:
            return
        session.print_fields(
            {
                "generations": found.total_generations,
                "tokens_spent": found.tokens_spent_total,
                "generations_of_30_days": found.recent_generations,
                "tokens_of_30_days": found.recent_tokens,
            }
        )
        for kind, share in found.breakdown.items():
            session.print_text(output.joined(f"{kind}: {share.count} generations, {share.tokens} tokens"))

    CommandSession(json, base_url).run(work)


def balance(json: AsJson = False, base_url: BaseUrl = None) -> None:
    """Show how many tokens are left."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        found = await nb.account.balance()
        session.print_fields(found.model_dump(mode="json", exclude={"raw"}))

    CommandSession(json, base_url).run(work)


def models(
    slug: Annotated[
        str | None,
        typer.Argument(help="One model, with all its options; left out, the list.", autocompletion=_known_models),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only text, image, video, ...", autocompletion=_known_kinds),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="WORDS", help="Only those whose name, provider or words have all of these."),
    ] = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """List the models, or show one."""
    if slug is not None and (kind is not None or search is not None):
        raise typer.BadParameter("--kind and --search choose from the list; leave out the model.")

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        if slug is not None:
            found = (await nb.models.get(slug)).model_dump(mode="json", exclude={"raw"})
            options = found.pop("config")
            session.print_fields(found | ({"config": options} if session.as_json else options))
            return
        listed = [model for model in await nb.models.list() if _is_wanted(model, kind, search)]
        for model in listed:
            session.write_record(model.model_dump(mode="json", exclude={"raw"}))
        if not listed:
            session.print_status("Nothing found.")
        elif not session.as_json:
            from .views import show_table

            rows = [
                (
                    model.slug,
                    model.category or "",
                    _cost(model.min_token_cost, model.max_token_cost),
                    model.provider or "",
                )
                for model in listed
            ]
            show_table(("model", "kind", "tokens", "provider"), rows, dispensable=("provider", "kind"))

    CommandSession(json, base_url).run(work)


def _is_wanted(model: ModelInfo, kind: str | None, search: str | None) -> bool:
    if kind is not None and (model.category or "").lower() != kind.strip().lower():
        return False
    text = " ".join(filter(None, (model.slug, model.name, model.provider, model.description))).lower()
    return all(word in text for word in (search or "").lower().split())


def _cost(lowest: int | None, highest: int | None) -> str:
    known = [cost for cost in (lowest, highest) if cost is not None]
    return "-".join(str(cost) for cost in dict.fromkeys(known))


def price(
    model: Model,
    param: Params = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many.")] = None,
    json: AsJson = False,
    base_url: BaseUrl = None,
) -> None:
    """Show what a generation would cost, in tokens."""

    async def work(nb: AsyncNeuralBox, session: CommandSession) -> None:
        found = await nb.models.price(model, count=count, extra_body={"params": read_params(param)})
        session.print_fields(found.model_dump(mode="json", exclude={"raw"}))

    CommandSession(json, base_url).run(work)
