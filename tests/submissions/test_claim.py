"""What a request claims, and when an item of the history is like it: as tables."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from neuralbox._api.builders import build_media, build_speech, build_text, build_tool
from neuralbox._api.request import Form, FormFile, Request, RetrySafety
from neuralbox._submissions.claim import (
    NO_FACTS,
    Claim,
    Facts,
    HistoryEntry,
    PromptMatch,
    body_of,
    claim_of,
    compare_prompts,
    fit,
    kinds_fit,
    mark_of,
)

LONG = "A quiet harbour at dawn with nine boats, two of them red, and a lighthouse that is not lit"
TURNS = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Greet me"}]
SEEN = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is"}, {"type": "image_url"}, {"type": "text", "text": "this?"}],
    }
]
TIMES: Mapping[str, Any] = {"sent_at": 5.0, "server_offset": -3.0, "lost_at": 9.0}
NO_TEXT: Mapping[str, Any] = {
    "model": "gpt-5", "prompt": None, "messages": None, "system": None, "temperature": 0.5, "max_tokens": None,
    "assistant_id": None, "stream": True, "nested": False, "stream_path": False,
}  # fmt: skip


# From a request to its claim.


@pytest.mark.parametrize(
    ("request_", "kind", "expected"),
    [
        (build_text(**{**NO_TEXT, "prompt": "Greet me"}), "text", ("Greet me", False)),
        (build_text(**{**NO_TEXT, "messages": TURNS}), "text", ("Greet me", True)),
        (build_text(**{**NO_TEXT, "messages": [*TURNS, {"role": "assistant", "content": "Hi"}]}), "text", ("Greet me", True)),
        (build_text(**{**NO_TEXT, "messages": SEEN}), "text", ("What is this?", True)),
        (build_text(**{**NO_TEXT, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "text", (None, True)),
        (build_text(**{**NO_TEXT, "messages": TURNS[:1]}), "text", (None, False)),
        (build_text(**{**NO_TEXT, "messages": TURNS, "nested": True}), "text", ("Greet me", False)),
        (build_media(model="dall-e-3", prompt="A fox", options={"seed": 7}, nested=False), "image", ("A fox", False)),
        (build_media(model="dall-e-3", prompt="A fox", options={"seed": 7}, nested=True), "image", ("A fox", False)),
        (build_speech(model="openai-tts", text="Hello", options={}, nested=False), "tts", ("Hello", False)),
        (build_speech(model="openai-tts", text="Hello", options={}, nested=True), "tts", ("Hello", False)),
        (build_tool(model="upscale", prompt=None, options={"image_url": "http://x.test/"}, nested=False), "tool", (None, False)),
        (Request("POST", "/stt", RetrySafety.PAID, form=Form({"model": "whisper"}, (FormFile("audio", "talk.mp3", b"ID3", "audio/mpeg"),))), "stt", ("talk.mp3", True)),
        (Request("POST", "/generate", RetrySafety.PAID, body={"messages": "none"}), None, (None, False)),
        (Request("POST", "/video-gen/grok", RetrySafety.PAID, form=Form({"prompt": "A fox; a hare"}, loses_text=True)), "video", ("A fox; a hare", True)),
        (Request("POST", "/video-storyboard/veo", RetrySafety.PAID, form=Form({"scenes": '[{"prompt": "A fox"}, {"prompt": "A hare"}, {}]'})), "video", ("A fox\nA hare", True)),
        (Request("POST", "/video-storyboard/veo", RetrySafety.PAID, form=Form({"scenes": '[{"prompt": "A f'})), "video", (None, False)),
        (Request("POST", "/dialogue", RetrySafety.PAID, body={"blocks": [{"input": "Hello"}, {"input": "Bye"}, {}, 7]}), "tts", ("Hello\nBye", True)),
        (Request("POST", "/dialogue", RetrySafety.PAID, body={"blocks": []}), "tts", (None, True)),
        (Request("POST", "/generate", RetrySafety.PAID, body={"messages": [7]}), None, (None, False)),
        (Request("POST", "/video-storyboard/veo", RetrySafety.PAID, form=Form({"scenes": '{"prompt": "A fox"}'})), "video", (None, False)),
    ],
)  # fmt: skip
def test_the_prompt_is_what_the_history_would_show(
    request_: Request, kind: str | None, expected: tuple[str | None, bool]
) -> None:
    claim = claim_of(request_, key="k", kind=kind, model=None)
    assert (claim.prompt, claim.predicted, bool(claim.basis)) == (*expected, expected[1])
    assert claim.kind == kind
    assert "prompt" not in claim.options
    assert "stream" not in claim.options
    assert "model" not in claim.options


def test_both_forms_make_the_same_claim_and_what_the_call_adds_belongs_to_it() -> None:
    claims = [
        claim_of(
            build_media(model="dall-e-3", prompt="A fox", options={"size": "1:1"}, nested=nested),
            {"seed": 7},
            key="k",
            kind=None,
            model=None,
        )
        for nested in (True, False)
    ]
    assert claims[0] == claims[1] == Claim("k", "image", "dall-e-3", "A fox", options={"size": "1:1", "seed": 7})


def test_the_kind_is_the_resources_or_else_the_catalogues() -> None:
    request = build_media(model="kling-v2.1", prompt="x", options={}, nested=True)
    assert claim_of(request, key="k", kind=None, model="kling-v2.1").kind == "video"
    assert claim_of(request, key="k", kind="image", model="kling-v2.1").kind == "image"
    assert claim_of(request, key="k", kind=None, model="new-model").kind is None


def test_recordings_of_one_name_are_told_apart_by_their_content() -> None:
    def claim(content: Any) -> Claim:
        form = Form({"model": "whisper"}, (FormFile("audio", "talk.mp3", content, "audio/mpeg"),))
        return claim_of(Request("POST", "/stt", RetrySafety.PAID, form=form), key="k", kind="stt", model="whisper")

    assert claim(b"one").is_same_request(claim(b"one"))
    assert not claim(b"one").is_same_request(claim(b"two"))
    assert not claim(io.BytesIO(b"one")).is_same_request(
        claim(io.BytesIO(b"one"))
    )  # not read, so not known to be equal


def test_of_several_files_under_one_name_each_tells_requests_apart() -> None:
    def claim(*contents: bytes) -> Claim:
        files = tuple(FormFile("files", "fox.png", content, "image/png") for content in contents)
        form = Form({"prompt": "A fox"}, files)
        return claim_of(Request("POST", "/x", RetrySafety.PAID, form=form), key="k", kind="image", model="m")

    assert claim(b"one", b"two").is_same_request(claim(b"one", b"two"))
    assert not claim(b"one", b"two").is_same_request(claim(b"two", b"two"))


def test_equal_requests_ask_for_the_same_whatever_they_are_called() -> None:
    claim = Claim("a", "image", "m", "p", options={"seed": 1})
    assert claim.is_same_request(Claim("b", None, "m", "p", sent_at=5.0, options={"seed": 1}))
    assert not claim.is_same_request(Claim("b", "image", "other", "p", options={"seed": 1}))
    assert not claim.is_same_request(Claim("b", "image", "m", "p", options={"seed": 2}))
    assert not claim.is_same_request(Claim("b", "image", "m", "q", options={"seed": 1}))


def test_a_claim_is_kept_as_json_without_what_was_asked_for() -> None:
    claim = Claim("k", "image", "m", "the planted prompt", predicted=True, options={"seed": "planted"}, **TIMES)
    kept = claim.to_dict()
    assert "planted" not in f"{kept}{claim!r}"
    assert Claim.from_dict(kept) == Claim("k", "image", "m", **TIMES)
    assert Claim.from_dict(replace(claim, seed=3).to_dict()).seed == 3


def test_another_process_knows_a_claim_by_what_shows_and_an_equal_request_by_all_that_it_asks_for() -> None:
    shown = {"seed": 7, "size": "1:1"}
    options = {**shown, "duration": [5], "temperature": 0.5, "image": (b"\xff",)}
    claim = Claim("k", "image", "m", "A fox", predicted=True, options=options, seed=3, **TIMES)
    said = json.loads(json.dumps(claim.to_shared_dict()))
    theirs = Claim.from_shared_dict(said)
    assert theirs == replace(claim, options=shown, twin=said["twin"])
    turned = replace(claim, key="other", options=dict(reversed(options.items())))
    for same in (claim, turned, Claim.from_shared_dict(turned.to_shared_dict())):
        assert theirs.is_same_request(same)
        assert same.is_same_request(theirs)
    for other in (
        replace(claim, model="other"),
        replace(claim, prompt="A hen"),
        replace(claim, options={**options, "temperature": 0.6}),
    ):
        for each in (other, Claim.from_shared_dict(other.to_shared_dict())):
            assert not theirs.is_same_request(each)
            assert not each.is_same_request(theirs)
    assert Claim.from_shared_dict({}) == Claim("", twin="")


@pytest.mark.parametrize("values", [{}, {"key": None, "sent_at": "x", "kind": []}, {"future": 1}])
def test_a_claim_of_another_version_is_read_as_far_as_it_goes(values: Mapping[str, Any]) -> None:
    assert Claim.from_dict(values) == Claim("")


def test_the_body_is_told_without_the_file() -> None:
    form = Form({"model": "whisper"}, (FormFile("audio", "talk.mp3", b"ID3", "audio/mpeg"),))
    assert body_of(Request("POST", "/stt", RetrySafety.PAID, form=form), {"x": 1}) == {"model": "whisper", "x": 1}
    assert body_of(Request("POST", "/new", RetrySafety.PAID)) == {}


# Items.


def test_an_item_is_read_in_either_dialect() -> None:
    seed = {"id": "gen_1", "type": "image", "model": "m", "prompt": "p", "created_at": "2026-03-08T12:00:00Z"}
    page = {"id": 7, "category": "image", "model_slug": "m", "prompt": "p", "created_at": "2026-03-08T12:00:00Z"}
    for record, identity in ((seed, "gen_1"), (page, 7)):
        assert HistoryEntry.read(record) == HistoryEntry(identity, "image", "m", "p", 1_772_971_200.0, record)
    assert HistoryEntry.read({"id": 7}) == HistoryEntry(7, None, None, "", None, {"id": 7})
    assert HistoryEntry.read({"prompt": "p"}) is None


# Comparing prompts.


@pytest.mark.parametrize(
    ("ours", "shown", "expected"),
    [
        ("A fox", "A fox", PromptMatch.SAME),
        (" A fox\n", "A fox", PromptMatch.SAME),
        ("A fox", "A fox ", PromptMatch.SAME),
        ("A  fox", "A fox", PromptMatch.ALIKE),
        ("A fox,\na hen", "A fox, a hen", PromptMatch.ALIKE),
        ("therapist", "the rapist", PromptMatch.ALIKE),
        ("2-2=?", "2+2=?", PromptMatch.ALIKE),
        ("A fox", "a fox", PromptMatch.ALIKE),
        ("x²", "x2", PromptMatch.ALIKE),
        ("A fox", "A box", PromptMatch.OTHER),
        ("A fox & a <hen>", "A fox &amp; a &lt;hen&gt;", PromptMatch.ALIKE),
        ("A fox \N{FOX FACE}", "A fox ", PromptMatch.ALIKE),
        ("a ﬁne café", "A fine cafe\N{COMBINING ACUTE ACCENT}", PromptMatch.ALIKE),
        # Cut short...
        (LONG, LONG[:40], PromptMatch.PERHAPS),
        (LONG, LONG[:16], PromptMatch.PERHAPS),
        (LONG, LONG[:12] + "...", PromptMatch.PERHAPS),
        (LONG, LONG[:12] + "…", PromptMatch.PERHAPS),
        ("A fox & " + LONG, "A fox &amp; " + LONG[:20], PromptMatch.PERHAPS),
        # ... or another that ours begins with.
        ("A fox on the moon", "A fox", PromptMatch.OTHER),
        (LONG, LONG[:15], PromptMatch.OTHER),
        # Missing, or nothing to compare.
        ("A fox", "", PromptMatch.PERHAPS),
        ("A fox", "  ", PromptMatch.PERHAPS),
        (None, "A fox", PromptMatch.PERHAPS),
        (None, "", PromptMatch.PERHAPS),
        (" ", "", PromptMatch.PERHAPS),
        ("\N{FOX FACE}", "??", PromptMatch.PERHAPS),
        ("\N{FOX FACE}", "A fox", PromptMatch.PERHAPS),
        ("A fox", "??", PromptMatch.PERHAPS),
    ],
)
def test_a_shown_prompt_is_compared_with_ours(ours: str | None, shown: str, expected: PromptMatch) -> None:
    assert compare_prompts(Claim("k", prompt=ours), shown) is expected


def test_a_prediction_excludes_nothing_until_it_is_known_to_hold() -> None:
    claim = Claim("k", prompt="Greet me", predicted=True)
    assert compare_prompts(claim, "[2 messages]") is PromptMatch.PERHAPS
    assert compare_prompts(claim, "[2 messages]", prediction_holds=True) is PromptMatch.OTHER
    assert compare_prompts(claim, "Greet me") is PromptMatch.SAME


def test_a_prompt_is_known_again_by_its_mark() -> None:
    assert mark_of("A  fox\n") == mark_of("A fox") != mark_of("A box")
    assert mark_of("half a \ud83d") is not None
    assert mark_of(None) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("image", "image", True),
        ("image", "video", False),
        (None, "video", True),
        ("image", None, True),
        ("tool", "tools", True),  # C31
        ("audio", "music", True),  # a word we do not know may be any
    ],
)
def test_kinds_exclude_each_other_only_where_both_are_known(one: str | None, other: str | None, expected: bool) -> None:
    assert kinds_fit(one, other) is expected


# Comparing facts.


@pytest.mark.parametrize(
    ("options", "facts", "expected"),
    [
        ({}, NO_FACTS, 0),
        ({"seed": 7}, NO_FACTS, 0),
        ({"seed": 7}, Facts(seed=7), 1),
        ({"seed": "7"}, Facts(seed=7), 1),
        ({"seed": 7}, Facts(seed=8), None),
        ({"seed": 0}, Facts(seed=0), 1),
        ({"duration": 5}, Facts(duration=5.04), 1),
        ({"duration": 5}, Facts(duration=10), None),
        ({"size": "768x1344"}, Facts(width=768, height=1344), 1),
        ({"size": "768x1344"}, Facts(width=1024, height=1024), None),
        ({"size": "768x1344"}, Facts(width=384, height=672), None),
        ({"size": "768x"}, Facts(width=1024, height=1024), 0),
        ({"size": ":16"}, Facts(width=1024, height=1024), 0),
        ({"size": "16:9"}, Facts(width=1920, height=1080), 1),
        ({"size": "16:9"}, Facts(width=1080, height=1920), None),
        ({"aspect_ratio": "9:16"}, Facts(width=720, height=1280), 1),
        ({"size": "large"}, Facts(width=720, height=1280), 0),
        ({"size": "768x1344"}, Facts(width=768), 0),
        ({"size": "768x1344"}, Facts(height=1344), 0),
        ({"size": "768x1344"}, Facts(width=0, height=0), 0),
        ({"seed": 7, "size": "768x1344"}, Facts(seed=7, width=768, height=1344), 2),
        ({"seed": 7, "size": "768x1344"}, Facts(seed=8, width=768, height=1344), None),
        ({"temperature": 0.5}, Facts(seed=8), 0),
        ({"seed": 7, "duration": 5}, Facts(seed=10**400, duration=10**400), 0),
        ({"size": "768x1344"}, Facts(width=10**400, height=1344), 0),
        ({"size": "16:9"}, Facts(width=1920, height=-(10**400)), 0),
    ],
)
def test_facts_confirm_or_contradict_what_was_asked_for(
    options: Mapping[str, Any], facts: Facts, expected: int | None
) -> None:
    assert fit(Claim("k", model="m", options=options), "other", facts) == expected


def test_a_model_confirms_and_never_contradicts() -> None:
    claim = Claim("k", model="midjourney-v6")
    assert fit(claim, "midjourney-v6", NO_FACTS) == 1
    assert fit(claim, "midjourney", NO_FACTS) == 0
    assert fit(claim, "midjourney", NO_FACTS, spelled="midjourney") == 1
    assert fit(claim, None, NO_FACTS) == 0
    assert fit(Claim("k"), None, NO_FACTS) == 0
