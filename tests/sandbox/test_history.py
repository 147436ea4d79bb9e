"""The history: order, filters, pages, marks, deletion, lag; and the two ways to ask for one generation."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, Start


def ids(api: Api, **query: Any) -> list[int | str]:
    return [item["id"] for item in api.get("/user/history", params=query).json()["items"]]


def test_the_newest_is_first_and_pages_do_not_overlap(api: Api) -> None:
    made = [api.make("gpt-5-nano")["id"] for _ in range(5)]
    assert ids(api, limit=2) + ids(api, limit=2, page=2) + ids(api, limit=2, page=3) == made[::-1]
    assert ids(api, limit=2, page=4) == []


def test_filters_work_under_both_names_and_together(api: Api) -> None:
    text, image, video = (api.make(model)["id"] for model in ("gpt-5", "midjourney-v6", "kling-v2.1"))
    for name in ("type", "category"):
        assert ids(api, **{name: "image"}) == [image]
    for name in ("model", "model_slug"):
        assert ids(api, **{name: "midjourney"}) == ids(api, **{name: "midjourney-v6"}) == [image]
    assert ids(api, status="pending") == [video, image]
    assert ids(api, status="pending", type="video") == [video]
    assert ids(api, status="completed") == [text]
    assert ids(api, model="nothing") == []


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page": "two"},
        {"limit": "0"},
        {"limit": "101"},
        {"type": "song"},
        {"status": "queued"},
        {"favorites_only": "maybe"},
    ],
)
def test_a_query_out_of_range_is_a_validation_error(api: Api, query: dict[str, str]) -> None:
    reply = api.get("/user/history", params=query)
    assert (reply.status_code, list(reply.json()["details"]["fields"])) == (422, list(query))


def test_favourites_toggle_and_can_be_listed_alone(api: Api) -> None:
    first, second = (api.make("gpt-5-nano")["id"] for _ in range(2))
    assert api.post(f"/user/history/{first}/favorite").json() == {"id": first, "is_favorited": True}
    assert ids(api, favorites_only="true") == [first]
    assert ids(api, favorites_only="false") == [second, first]
    assert api.post(f"/user/history/{first}/favorite").json()["is_favorited"] is False


def test_ratings_are_whole_numbers_from_one_to_five(start: Start) -> None:
    api = start(history="page")
    made = api.make("gpt-5-nano")["id"]
    assert api.post(f"/user/history/{made}/rate", {"rating": 4}).json() == {"id": made, "user_rating": 4}
    assert api.get("/user/history").json()["items"][0]["user_rating"] == 4
    for rating in (0, 6, 4.5, "4", True, None):
        assert api.post(f"/user/history/{made}/rate", {"rating": rating}).status_code == 422


def test_a_deleted_generation_is_gone_everywhere_and_stays_charged(api: Api) -> None:
    image = api.make("dall-e-3")
    reply = api.http.delete(f"/user/history/{image['id']}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert ids(api) == []
    assert api.get(f"/generate/{image['id']}").status_code == 404
    assert api.get(image["result_url"]).status_code == 404
    assert api.http.delete(f"/user/history/{image['id']}").status_code == 404
    assert api.sandbox.ledger.charged == 5


def test_somebody_elses_generation_cannot_be_marked(api: Api) -> None:
    made = api.make("gpt-5-nano")["id"]
    assert api.http.post(f"/user/history/{made}/favorite", headers=api.as_key("nb_other")).status_code == 404


def test_a_listing_lag_hides_a_generation_but_not_its_own_status(start: Start) -> None:
    api = start(faults={"listing-lag": 8})
    made = api.make("gpt-5-nano")["id"]
    assert ids(api) == []
    assert api.get(f"/generate/{made}").status_code == 200
    api.clock.advance(8)
    assert ids(api) == [made]


@pytest.mark.parametrize(("dialect", "right", "wrong"), [("A", "", "status/"), ("B", "status/", "")])
def test_the_other_poll_path_can_be_made_to_refuse(start: Start, dialect: str, right: str, wrong: str) -> None:
    for strict, status in ((False, 200), (True, 404)):
        api = start(dialect=dialect, strict_paths=strict)
        made = api.make("gpt-5")["id"]
        assert api.get(f"/generate/{right}{made}").status_code == 200
        assert api.get(f"/generate/{wrong}{made}").status_code == status


@pytest.mark.parametrize("dialect", ["A", "B"])
def test_the_vocabulary_of_a_poll_follows_its_path(start: Start, dialect: str) -> None:
    api = start(dialect=dialect)
    made = api.make("gpt-5")["id"]
    assert "result_text" in api.get(f"/generate/{made}").json()
    assert "content" in api.get(f"/generate/status/{made}").json()


def test_speech_is_told_with_its_length_in_both_vocabularies(api: Api) -> None:
    speech = api.make("openai-tts", "x" * 140, format="wav")
    assert speech["result_metadata"] == {"duration": 10}
    assert speech["result_url"].endswith(".wav")
    assert api.get(f"/generate/status/{speech['id']}").json()["duration"] == 10
    tool = api.make("text-ocr")
    assert "usage" not in api.get(f"/generate/status/{tool['id']}").json()


def test_an_unknown_id_path_or_method_is_refused_in_the_documented_form(api: Api) -> None:
    assert api.get("/generate/1").json()["error"] == "not_found"
    reply = api.get("/nowhere")
    assert (reply.status_code, set(reply.json())) == (404, {"error", "message", "details"})
    reply = api.http.put("/balance")
    assert (reply.status_code, reply.json()["error"]) == (405, "method_not_allowed")
