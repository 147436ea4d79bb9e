"""Commands that ask and change nothing."""

from __future__ import annotations

from decimal import Decimal

from neuralbox._cli.session import in_words

from .conftest import Box


def test_balance_says_what_is_left(box: Box) -> None:
    left = box("balance")
    assert left.code == 0
    assert left.lines[:2] == ["token balance    100000", "plan             elite"]
    assert left.err == ""
    [record] = box("balance", "--json").records
    assert (record["token_balance"], record["plan"]) == (100_000, "elite")


def test_stats_say_what_was_made(box: Box) -> None:
    box("generate", "gpt-5", "Good morning")
    left = box("stats")
    assert left.code == 0
    assert "generations             1" in left.lines
    assert any(line.startswith("text: 1 generations, ") for line in left.lines)
    [record] = box("stats", "--json").records
    assert record["total_generations"] == 1
    assert record["breakdown"]["text"]["count"] == 1
    assert "raw" not in record


def test_models_are_a_row_each(box: Box) -> None:
    left = box("models")
    assert left.code == 0
    rows = {row[0]: row for row in (line.split("\t") for line in left.lines)}
    assert rows["flux-1.1-pro"] == ["flux-1.1-pro", "image", "4", "Replicate"]
    assert rows["dall-e-3"][2] == "5-13"
    records = {record["slug"]: record for record in box("models", "--json").records}
    assert records.keys() == rows.keys()


def test_one_model_is_shown_with_its_options(box: Box) -> None:
    left = box("models", "flux-1.1-pro")
    assert any(line.startswith("sizes ") and "1024x1024, " in line and "[" not in line for line in left.lines)
    assert "supports streaming  no" in left.lines
    [record] = box("models", "flux-1.1-pro", "--json").records
    assert "768x1344" in record["config"]["sizes"]


def test_a_value_is_shown_in_words_and_in_none_of_pythons() -> None:
    assert in_words([True, None, 2, "a", Decimal("0.50")]) == "yes, none, 2, a, 0.50"
    assert in_words({"sizes": ["a", "b"], "most": {"of": False}}) == "sizes=a, b, most=of=no"


def test_an_unknown_model_is_not_found(box: Box) -> None:
    left = box("models", "flux-9")
    assert left.code == 6
    assert "`neuralbox history` and `neuralbox models` list what there is." in left.sentence


def test_a_price_depends_on_the_options(box: Box) -> None:
    assert box("price", "dall-e-3").lines[0].split() == ["token", "cost", "5"]
    [record] = box("price", "dall-e-3", "-p", "size=1792x1024", "--count", "2", "--json").records
    assert record["token_cost"] == 18
    assert box("price", "dall-e-3", "-p", "size").code == 2
    assert box.spent == 0


def test_another_address_can_be_given(box: Box) -> None:
    assert box("balance", "--base-url", box.server.url, NEURALBOX_BASE_URL="http://127.0.0.1:1").code == 0


def test_a_proxys_page_is_no_answer(box: Box) -> None:
    box.sandbox.faults.set("html-502", 1.0)
    left = box("balance")
    assert left.code == 10
    assert "502" in left.sentence


def test_models_are_chosen_by_kind_and_words(box: Box) -> None:
    images = box("models", "--kind", "Image").lines
    assert images
    assert all(line.split("\t")[1] == "image" for line in images)
    found = box("models", "--search", "FLUX pro", "--json").records
    assert found
    assert all("flux" in record["slug"] and "pro" in record["slug"] for record in found)
    assert box("models", "--search", "no such model").err == "Nothing found.\n"
    assert box("models", "gpt-5", "--kind", "text").code == 2
