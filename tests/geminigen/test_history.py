"""The history resource: what is asked, how the walk goes and stops, what is refused before anything is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from neuralbox import _errors as errors
from neuralbox._types import JobRef
from neuralbox.geminigen import GeminiHistory, HistoryItem
from tests import samples
from tests.geminigen.support import HOST, KEY, bench
from tests.helpers import Bench, Play, Sent, reply

pytestmark = pytest.mark.anyio

UUID = "hist_abc123def456"


def serve(total: int, *, most: int = 1_000, told: bool = True, **more: Any) -> Any:
    """A history of so many items that gives at most `most` a page."""

    def answer(sent: Sent) -> Play:
        page, size = int(sent.query["page"]), min(most, int(sent.query["items_per_page"]))
        numbers = range(total)[(page - 1) * size : page * size]
        body: dict[str, Any] = {"success": True, "result": [{"uuid": f"u{one}", "status": 2} for one in numbers]}
        return reply(200, {**body, **({"total": total} if told else {}), **more})

    return answer


def asked(made: Bench) -> list[str]:
    return [one.query["page"] for one in made.sent]


async def test_half_a_character_in_one_item_hides_no_other() -> None:
    page = rb'{"success":true,"total":2,"result":[{"uuid":"a","input_text":"Party \ud83d"},{"uuid":"b"}]}'
    made = bench([reply(200, page)])
    assert [(item.uuid, item.raw.get("input_text")) async for item in GeminiHistory(made.core).list()] == [
        ("a", "Party \ufffd"),
        ("b", None),
    ]


# What is sent.


async def test_the_list_asks_as_the_seed_does() -> None:
    made = bench([reply(200, samples.content("geminigen/list"))])
    page = await GeminiHistory(made.core).list()
    (sent,) = made.sent
    assert sent.method == "GET"
    assert sent.url == f"{HOST}/uapi/v1/histories?filter_by=all&items_per_page=10&page=1"
    assert sent.headers["x-api-key"] == KEY
    assert "authorization" not in sent.headers
    assert [item.uuid for item in page] == [UUID]
    assert (page.page, page.page_size, page.total, page.raw["success"]) == (1, 1, 25, True)


async def test_filters_pages_and_extras_go_under_the_services_names() -> None:
    made = bench([reply(200, {"result": []})])
    listing = GeminiHistory(made.core).list(
        filter_by="video", page=3, items_per_page=50, extra_query={"x": "1"}, extra_headers={"X-Trace": "t"}
    )
    assert len(await listing) == 0
    (sent,) = made.sent
    assert sent.query == {"filter_by": "video", "items_per_page": "50", "page": "3", "x": "1"}
    assert sent.headers["x-trace"] == "t"


async def test_the_detail_asks_by_uuid_in_the_singular_path() -> None:
    made = bench([reply(200, samples.record("geminigen/detail"))] * 3)
    history = GeminiHistory(made.core)
    item = await history.get(UUID)
    assert item == await history.get(item) == await history.get(item.ref)
    assert {sent.url for sent in made.sent} == {f"{HOST}/uapi/v1/history/{UUID}"}
    assert item.generated_image[0].thumbnails[0].size == "small"


async def test_a_uuid_never_leaves_its_segment_of_the_path() -> None:
    made = bench([reply(200, {"status": 1})])
    item = await GeminiHistory(made.core).get("a/../b?c")
    assert urlsplit(made.sent[0].url).path == "/uapi/v1/history/a%2F..%2Fb%3Fc"
    assert item.uuid == "a/../b?c"


@pytest.mark.parametrize(
    "body",
    [
        {"uuid": "u", "status": 2},
        {"success": True, "result": {"uuid": "u", "status": 2}},
        {"data": {"uuid": "u", "status": 2}},
    ],
)
async def test_the_detail_is_read_out_of_each_envelope(body: Any) -> None:
    made = bench([reply(200, body)])
    item = await GeminiHistory(made.core).get("u")
    assert (item.uuid, item.state) == ("u", "completed")


# The walk.


@pytest.mark.parametrize("told", [True, False])
async def test_iterated_it_is_every_item_once(told: bool) -> None:
    made = bench(serve(25, told=told))
    uuids = [item.uuid async for item in GeminiHistory(made.core).list()]
    assert uuids == [f"u{number}" for number in range(25)]
    assert asked(made) == (["1", "2", "3"] if told else ["1", "2", "3", "4"])


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("total", [180, 200, 201])
async def test_a_service_that_gives_fewer_items_a_page_is_walked_to_the_end(total: int, first: int) -> None:
    made = bench(serve(total, most=50))
    uuids = [item.uuid async for item in GeminiHistory(made.core).list(items_per_page=100, page=first)]
    assert uuids == [f"u{number}" for number in range((first - 1) * 50, total)]


async def test_a_page_size_that_the_service_tells_counts() -> None:
    made = bench(serve(120, most=50, per_page=50))
    page = await GeminiHistory(made.core).list(items_per_page=100)
    assert (page.page_size, page.pages, page.has_next) == (50, 3, True)


async def test_a_last_page_that_the_service_tells_counts() -> None:
    made = bench(serve(30, last_page=2))
    assert len([item async for item in GeminiHistory(made.core).list()]) == 20
    assert asked(made) == ["1", "2"]


async def test_a_page_that_says_itself_to_be_another_ends_the_walk_where_it_shows_nothing_new() -> None:
    made = bench(lambda _: reply(200, {"total": 99, "current_page": 1, "result": [{"uuid": "a"}]}))
    assert [item.uuid async for item in GeminiHistory(made.core).list(items_per_page=1)] == ["a"]
    assert asked(made) == ["1", "2"]


async def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="item_per_page"):
        await GeminiHistory(bench([]).core).list(item_per_page=5)  # type: ignore[call-arg]  # it is the point


async def test_an_empty_page_ends_the_walk_whatever_the_total_says() -> None:
    made = bench([reply(200, {"total": 99, "result": [{"uuid": "a"}]}), reply(200, {"total": 99, "result": None})])
    assert [item.uuid async for item in GeminiHistory(made.core).list()] == ["a"]


async def test_a_service_that_ignores_the_page_is_not_walked_for_ever() -> None:
    made = bench(lambda _: reply(200, {"result": [{"uuid": "a"}, {"uuid": "b"}]}))
    assert [item.uuid async for item in GeminiHistory(made.core).list()] == ["a", "b"]
    assert asked(made) == ["1", "2"]


@pytest.mark.parametrize("prefetch", [0, 4])
async def test_the_example_of_the_seed_answered_to_every_page_is_walked_no_further_than_needed(prefetch: int) -> None:
    made = bench(lambda _: reply(200, {"success": True, "total": 25, "result": [{"uuid": "a"}]}))
    assert [item.uuid async for item in GeminiHistory(made.core).list(prefetch=prefetch)] == ["a"]
    assert len(made.sent) == 2 + prefetch


@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("cap", [1, 7, 50])
async def test_a_service_that_caps_the_page_size_is_asked_for_all_its_pages(cap: int, prefetch: int) -> None:
    def answer(sent: Sent) -> Play:
        start = (int(sent.query["page"]) - 1) * cap
        return reply(200, {"total": 120, "result": [{"uuid": f"u{n}"} for n in range(start, min(start + cap, 120))]})

    made = bench(answer)
    uuids = [item.uuid async for item in GeminiHistory(made.core).list(items_per_page=100, prefetch=prefetch)]
    assert uuids == [f"u{number}" for number in range(120)]
    assert len(made.sent) == -(-120 // cap)


async def test_items_that_move_to_a_later_page_are_handed_out_once() -> None:
    pages = [["n3", "n2", "n1"], ["n2", "n1", "n0"], ["n0"]]
    made = bench([reply(200, {"total": 7, "result": [{"uuid": one} for one in page]}) for page in pages])
    uuids = [item.uuid async for item in GeminiHistory(made.core).list(items_per_page=3)]
    assert uuids == ["n3", "n2", "n1", "n0"]


async def test_pages_and_max_items() -> None:
    made = bench(serve(25))
    history = GeminiHistory(made.core)
    assert [len(page) async for page in history.list().pages()] == [10, 10, 5]
    assert len([item async for item in history.list(max_items=11)]) == 11
    assert [item async for item in history.list(max_items=0)] == []
    assert asked(made) == ["1", "2", "3", "1", "2"]


async def test_a_bare_array_is_a_page() -> None:
    made = bench([reply(200, [{"uuid": "a"}, 5])])
    page = await GeminiHistory(made.core).list()
    assert ([item.uuid for item in page], page.total, page.pages) == (["a"], None, None)
    assert page.raw == {"result": [{"uuid": "a"}, 5]}


# Refused here.


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": 0},
        {"page": True},
        {"page": "1"},
        {"items_per_page": 0},
        {"items_per_page": 1.5},
        {"max_items": -1},
        {"filter_by": ""},
        {"filter_by": " "},
        {"filter_by": None},
        {"filter_by": ["image"]},
    ],
    ids=repr,
)
async def test_a_list_that_cannot_be_right_is_refused_unsent(wrong: dict[str, Any]) -> None:
    made = bench([])
    with pytest.raises(errors.ConfigurationError, match=next(iter(wrong))):
        await GeminiHistory(made.core).list(**wrong)
    assert made.sent == []


@pytest.mark.parametrize("wrong", [1234, True, None, "", " ", "..", JobRef(7), HistoryItem.read({"id": 7})], ids=repr)
async def test_what_is_no_uuid_is_refused_unsent(wrong: Any) -> None:
    made = bench([])
    with pytest.raises(errors.ConfigurationError, match="named by its `uuid`"):
        await GeminiHistory(made.core).get(wrong)
    assert made.sent == []


# Refused there.


async def test_an_unknown_key_is_no_missing_generation() -> None:
    made = bench([reply(404, samples.record("geminigen/refusal_key", 404))])
    with pytest.raises(errors.AuthenticationError) as caught:
        await GeminiHistory(made.core).get(UUID)
    assert caught.value.code == "API_KEY_NOT_FOUND"
    assert KEY not in str(caught.value)


async def test_an_answer_about_another_generation_is_not_believed() -> None:
    made = bench([reply(200, {"uuid": "u-2", "status": 2}), reply(200, {"uuid": "", "status": 2})])
    with pytest.raises(errors.ProtocolError, match="asked for generation u-1 and answered with 'u-2'"):
        await GeminiHistory(made.core).get("u-1")
    assert (await GeminiHistory(made.core).get("u-1")).uuid == "u-1"


async def test_an_unknown_uuid_is_not_found() -> None:
    made = bench([reply(404, {"detail": "Not Found"})])
    with pytest.raises(errors.NotFoundError, match="Check the uuid"):
        await GeminiHistory(made.core).get(UUID)


async def test_a_limit_is_waited_for_as_long_as_the_service_asks() -> None:
    busy = reply(429, {"detail": {"error_code": "RATE_LIMIT_ERROR", "error_message": "slow"}}, retry_after="15")
    made = bench([busy, reply(200, {"uuid": UUID, "status": 2})])
    assert (await GeminiHistory(made.core).get(UUID)).is_completed
    assert made.times == [0, 15 + 0.5 * 2.0]  # with the jitter that keeps those apart who were told the same


async def test_a_server_fault_is_asked_again() -> None:
    made = bench([reply(500, {"detail": {"error_code": "SYSTEM_ERROR"}}), reply(502), reply(200, {"result": []})])
    assert len(await GeminiHistory(made.core).list()) == 0
    assert len(made.sent) == 3


@pytest.mark.parametrize("body", [{"success": False, "message": "no"}, {"result": "x"}, "text", 5, None])
async def test_a_list_without_a_list_is_a_protocol_error(body: object) -> None:
    made = bench([reply(200, body if body is not None else b"null")])
    with pytest.raises(errors.ProtocolError, match="without a list of generations"):
        await GeminiHistory(made.core).list()
    assert len(made.sent) == 1


@pytest.mark.parametrize("body", [{}, {"success": False, "message": "no"}, {"result": {"name": "x"}}, {"id": 7}])
async def test_a_detail_without_a_record_is_a_protocol_error(body: object) -> None:
    made = bench([reply(200, body)])
    with pytest.raises(errors.ProtocolError, match="without a record of its history"):
        await GeminiHistory(made.core).get(UUID)
    assert len(made.sent) == 1
