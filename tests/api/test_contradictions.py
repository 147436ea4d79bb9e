"""The documents disagree in 34 places (docs/service/contradictions.md); here is each that words and models settle.

Not here, because other layers settle them: C2 (which path a poll takes), C12's fall-back between the balance paths, C14
(names of the history's filters), C25 (whose limits they are: nothing to do), C32 (when to poll).
"""

from __future__ import annotations

import ast
import typing
from pathlib import Path
from typing import Any

import pytest

import neuralbox
from neuralbox import _errors as errors
from neuralbox._api import vocabulary as words
from neuralbox._api.builders import build_media, build_speech, build_text
from neuralbox._api.pages import read_envelope
from neuralbox._api.reply import read_retry_after, status_error
from neuralbox._api.request import fill, given
from neuralbox._models.account import Balance, Stats, User
from neuralbox._models.catalogue import Price
from neuralbox._models.generation import Generation
from neuralbox._types import OMIT
from tests import samples

NOW = 1_772_971_200.0


def text_body(*, nested: bool = False, stream: bool = False, stream_path: bool = False, **options: Any) -> Any:
    nothing: dict[str, Any] = {"prompt": None, "messages": None, "system": None, "temperature": OMIT}
    nothing |= {"max_tokens": OMIT, "assistant_id": None, "model": "gpt-5"}
    return build_text(**nothing | options, nested=nested, stream=stream, stream_path=stream_path).body


@pytest.mark.parametrize(("identity", "path"), [(18473, "/generate/18473"), ("gen_01j9x2", "/generate/gen_01j9x2")])
def test_c1_an_id_is_a_number_or_text_and_stays_it(identity: int | str, path: str) -> None:
    read = Generation.read({"id": identity, "status": "pending"}).id
    assert read == identity
    assert type(read) is type(identity)
    assert fill(words.GENERATION_BY_NUMBER, id=read) == path


@pytest.mark.parametrize("record", [{"tokens_spent": 3}, {"tokens_used": 3}, {"tokens_spent": None, "tokens_used": 3}])
def test_c3_the_price_under_both_names(record: dict[str, Any]) -> None:
    assert Generation.read(record).tokens == 3


@pytest.mark.parametrize("name", ["result_url", "url", "output_url"])
def test_c4_the_file_under_three_names(name: str) -> None:
    assert Generation.read({name: "https://x/y.webp"}).url == "https://x/y.webp"


@pytest.mark.parametrize("name", ["model_slug", "model"])
def test_c5_the_model_under_both_names(name: str) -> None:
    assert Generation.read({name: "gpt-5"}).model == "gpt-5"


@pytest.mark.parametrize("name", ["result_text", "content"])
def test_c6_the_text_under_both_names(name: str) -> None:
    assert Generation.read({name: "Hello"}).text == "Hello"


@pytest.mark.parametrize(
    "record",
    [
        {"result_metadata": {"width": 768, "height": 1344, "duration": 5}},
        {"width": 768, "height": 1344, "duration": 5},
        {"result_metadata": {"width": 768}, "height": 1344, "duration_seconds": 5},
    ],
)
def test_c7_media_facts_inside_or_at_the_top(record: dict[str, Any]) -> None:
    generation = Generation.read(record)
    assert (generation.width, generation.height, generation.duration) == (768, 1344, 5)


def test_c8_options_flat_or_inside_params_and_never_in_both() -> None:
    options = {"size": "1024x1024", "format": "webp"}
    flat = build_media(model="dall-e-3", prompt="x", options=options, nested=False).body
    nested = build_media(model="dall-e-3", prompt="x", options=options, nested=True).body
    assert flat == {"model": "dall-e-3", "prompt": "x", **options}
    assert nested == {"model": "dall-e-3", "prompt": "x", "params": options}
    assert build_media(model="dall-e-3", prompt="x", options=options, nested=True).body == nested


def test_c9_a_prompt_stays_one_and_messages_stay_messages() -> None:
    turns = samples.request_body("seed003_turns")["messages"]
    assert text_body(prompt="Hi") == {"model": "gpt-5", "prompt": "Hi"}
    assert text_body(messages=turns) == {"model": "gpt-5", "messages": turns}
    assert text_body(messages=turns, nested=True) == {
        "model": "gpt-5",
        "prompt": turns[-1]["content"],
        "params": {"messages": turns[:-1]},
    }


def test_c10_the_system_prompt_has_another_name_inside_params() -> None:
    assert text_body(prompt="Hi", system="Be brief.")["system"] == "Be brief."
    assert text_body(prompt="Hi", system="Be brief.", nested=True)["params"] == {"system_prompt": "Be brief."}


def test_c11_a_stream_by_switch_or_by_path() -> None:
    assert text_body(prompt="Hi", stream=True)["stream"] is True
    assert "stream" not in text_body(prompt="Hi", stream=True, stream_path=True)
    assert "stream" not in text_body(prompt="Hi")


@pytest.mark.parametrize("case", ["seed001_balance", "user_balance"])
def test_c12_both_shapes_of_the_balance(case: str) -> None:
    record = samples.record(case)
    balance = Balance.read(record)
    assert (balance.token_balance, balance.plan) == (record["token_balance"], "vip")


@pytest.mark.parametrize("plan", ["free", "Free", "starter", "Starter", "STARTER"])
def test_c13_free_and_starter_are_one_plan(plan: str) -> None:
    generation = Generation.read(samples.record("seed002_image"))
    assert generation.expires_at(plan) == generation.expires_at("free") is not None
    assert generation.expires_at("platinum") is None
    assert Balance.read({"plan": plan}).plan == plan


def test_c15_history_items_in_both_dialects() -> None:
    seed = Generation.read(samples.record("seed000_history")["items"][0])
    page = Generation.read(samples.record("history_page")["items"][0])
    assert (seed.kind, seed.model, seed.tokens, seed.is_favorited) == ("image", "flux-1.1-pro", 8, None)
    assert (page.kind, page.model, page.tokens, page.is_favorited, page.rating) == ("text", "gpt-5", 2, True, 4)
    assert page.raw["model_name"] == "GPT-5"


@pytest.mark.parametrize(("case", "pages"), [("seed000_history", 15), ("history_page", 2)])
def test_c16_the_count_of_pages_is_read_or_worked_out(case: str, pages: int) -> None:
    envelope = read_envelope(samples.record(case))
    assert envelope is not None
    assert envelope.pages == pages


def test_c17_speech_takes_text_flat_and_prompt_nested() -> None:
    options = {"voice_id": "alloy"}
    assert build_speech(model="openai-tts", text="Hello", options=options, nested=False).body == {
        "model": "openai-tts",
        "text": "Hello",
        **options,
    }
    assert build_speech(model="openai-tts", text="Hello", options=options, nested=True).body == {
        "model": "openai-tts",
        "prompt": "Hello",
        "params": options,
    }


def test_c18_midjourneys_ratio_goes_where_the_caller_puts_it() -> None:
    for name in ("size", "aspect_ratio"):
        body = build_media(model="midjourney-v6", prompt="x", options={name: "16:9"}, nested=False).body
        assert body == {"model": "midjourney-v6", "prompt": "x", name: "16:9"}
    assert words.IMAGE_SIZES["midjourney-v6"] == ("1:1", "2:3", "3:2", "9:16", "16:9")


def test_c19_a_slug_is_never_rewritten_and_another_may_come_back() -> None:
    body = build_media(model="midjourney-v6", prompt="x", options={}, nested=False).body
    assert body is not None
    assert body["model"] == "midjourney-v6"
    assert Generation.read(samples.record("seed002_midjourney")).model == "midjourney"


def test_c20_any_slug_is_sent_and_both_generations_of_names_are_offered() -> None:
    for slug in ("luma-flash2", "luma-ray2-flash", "photon-1", "photon", "a-model-of-tomorrow"):
        body = build_media(model=slug, prompt="x", options={}, nested=False).body
        assert body is not None
        assert body["model"] == slug
    offered = {slug for alias in (words.VideoModel, words.ImageModel) for slug in typing.get_args(alias)}
    assert offered >= {"luma-flash2", "luma-ray2-flash", "photon-1", "photon", "mj-video-480p", "midjourney-video"}


def test_c21_prices_are_whatever_the_service_says() -> None:
    assert [Price.read({"token_cost": cost}).token_cost for cost in (2, 3, 8, 4, 0, 100_000)] == [
        2,
        3,
        8,
        4,
        0,
        100_000,
    ]
    assert not [name for name in vars(words) if "PRICE" in name and name != "MODEL_PRICE"]


@pytest.mark.parametrize("message", ["API access needs VIP", "This model needs the Basic plan"])
def test_c22_and_c23_who_may_use_what_is_the_services_answer(message: str) -> None:
    content = f'{{"error": "insufficient_plan", "message": "{message}", "details": {{}}}}'.encode()
    error = status_error(403, {}, content, now=NOW)
    assert isinstance(error, errors.PermissionDeniedError)
    assert error.code == "insufficient_plan"
    assert message in error.message


def test_c24_limits_are_read_and_never_assumed() -> None:
    user = User.read(samples.record("user_me"))
    assert (user.rate_limit_hourly, user.rate_limit_daily) == (0, 0)
    headers = {words.REMAINING_HOUR: "0", words.RESET_HOUR: str(NOW + 60)}
    assert read_retry_after(headers, {}, now=NOW) == 60
    package = Path(neuralbox.__file__).parent
    users_of_the_table = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if "PLAN_LIMITS" in (text := path.read_text(encoding="utf-8"))  # to parse them all takes seconds
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute | ast.Name)
        and "PLAN_LIMITS" in (getattr(node, "attr", ""), getattr(node, "id", ""))
    }
    assert users_of_the_table <= {"_api", "sandbox"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"error": "not_authenticated", "message": "Not authenticated", "details": {}}', "not_authenticated"),
        (b'{"error": "Not authenticated"}', None),
        (b'{"error": "Invalid or expired token"}', None),
        (b'{"detail": "Not authenticated"}', None),
        (b"<html>401</html>", None),
    ],
)
def test_c26_a_refusal_is_classified_by_its_status_whatever_its_label(content: bytes, code: str | None) -> None:
    error = status_error(401, {}, content, now=NOW)
    assert type(error) is errors.AuthenticationError
    assert error.code == code


@pytest.mark.parametrize(("balance", "plan_tokens", "bonus"), [(900, 900, 0), (900, 900, 100), (1000, 900, 100)])
def test_c27_the_balance_is_shown_as_received(balance: int, plan_tokens: int, bonus: int) -> None:
    record = {"token_balance": balance, "plan_tokens_remaining": plan_tokens, "bonus_tokens": bonus}
    read = Balance.read(record)
    assert (read.token_balance, read.plan_tokens_remaining, read.bonus_tokens) == (balance, plan_tokens, bonus)


@pytest.mark.parametrize(("case", "name"), [("user_me", "Ada"), ("user_me_short", "ada")])
def test_c28_a_user_in_both_shapes(case: str, name: str) -> None:
    assert User.read(samples.record(case)).name == name


@pytest.mark.parametrize(
    ("record", "final"), [({"status": "pending"}, False), (samples.record("music_completed"), True)]
)
def test_c29_music_is_a_job_only_if_it_says_so(record: dict[str, Any], final: bool) -> None:
    assert Generation.read(record).is_final is final


@pytest.mark.parametrize("tokens", [0, 2])
def test_c30_a_transcription_costs_what_the_answer_says(tokens: int) -> None:
    assert Generation.read({**samples.record("stt_completed"), "tokens_spent": tokens}).tokens == tokens


def test_c31_tool_in_the_history_and_tools_in_the_statistics() -> None:
    assert "tool" in words.KINDS
    assert Generation.read({"type": "tool"}).kind == "tool"
    assert set(Stats.read(samples.record("user_stats")).breakdown) == {"text", "image", "video", "audio", "tools"}


@pytest.mark.parametrize("path", [words.HISTORY_ITEM, words.HISTORY_FAVORITE, words.HISTORY_RATE])
def test_c33_history_actions_take_ids_of_both_kinds(path: str) -> None:
    assert fill(path, id=20500).startswith("/user/history/20500")
    assert fill(path, id="gen_01j9x2img789").startswith("/user/history/gen_01j9x2img789")


def test_c34_null_is_absence_in_answers_and_is_sent_only_when_the_caller_says_it() -> None:
    spelt = Generation.read(samples.record("seed001_text"))
    absent = Generation.read({name: v for name, v in samples.record("seed001_text").items() if v is not None})
    assert spelt.model_copy(update={"raw": {}}) == absent.model_copy(update={"raw": {}})
    assert text_body(prompt="Hi") == {"model": "gpt-5", "prompt": "Hi"}
    assert text_body(prompt="Hi", max_tokens=None) == {"model": "gpt-5", "prompt": "Hi", "max_tokens": None}
    assert given(seed=OMIT, style=None) == {"style": None}
