"""One poll: which path is asked (contradiction C2), and what the reference adds to the answer."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._budget import Budget
from neuralbox._config import CallOptions
from neuralbox._costs.charges import charges_of
from neuralbox._costs.prices import PriceQuery
from neuralbox._errors import (
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    ProtocolError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._polling.status import as_ref, poll
from neuralbox._transport import Reply
from neuralbox._types import JobRef
from neuralbox.geminigen._service import GEMINIGEN
from neuralbox.testing import VirtualTime
from tests.helpers import Sent, make_core, refusal, reply

from ..service import Answer, Asked, Service, a_service

pytestmark = pytest.mark.anyio

PENDING = {"status": "pending"}


class Paths:
    """A service that has only some of the two paths: what it answers on the others is given."""

    def __init__(self, service: Service, **answers: Answer) -> None:
        self.service = service
        for name in ("7", "gen_7"):
            service.answers[name] = lambda _: answers["text" if self.asked[-1].path.endswith("status") else "number"]

    @property
    def asked(self) -> list[Asked]:
        return self.service.asked

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


@pytest.mark.parametrize(
    ("id", "path"), [(7, "/generate"), ("7", "/generate"), ("gen_7", "/generate/status"), ("x7", "/generate/status")]
)
async def test_the_shape_of_the_id_chooses_the_path(id: int | str, path: str) -> None:
    async with a_service() as service:
        service.answers[str(id)] = lambda _: PENDING
        generation = await poll(service.core(), id)
        assert [asked.path for asked in service.asked] == [path]
        assert generation.id == id


@pytest.mark.parametrize("status", [404, 405])
async def test_a_path_that_does_not_know_the_id_makes_us_try_the_other_once_and_remember_it(status: int) -> None:
    async with a_service() as service:
        paths = Paths(service, number=(status, {"error": "no"}), text=PENDING)
        core = service.core()
        await poll(core, 7)
        await poll(core, 7)
        assert paths.paths() == ["/generate", "/generate/status", "/generate/status"]


@pytest.mark.parametrize(
    ("asked", "answered", "believed"),
    [
        (7, 7, True), (7, "7", True), ("7", 7, True), (7, "gen_7", True), ("gen_7", 7, True), (7, None, True),
        (7, 8, False), ("gen_7", "gen_8", False), (7, "8", False), ("gen_7", "GEN_7", False),
    ],
)  # fmt: skip
async def test_an_answer_about_another_job_is_not_believed(
    asked: int | str, answered: int | str | None, believed: bool
) -> None:
    async with a_service() as service:
        service.answers[str(asked)] = lambda _: {"status": "completed", "id": answered, "result_url": "http://x/y.mp4"}
        if believed:
            assert (await poll(service.core(), asked)).is_completed
            return
        with pytest.raises(ProtocolError, match="which is not believed"):
            await poll(service.core(), asked)


async def test_an_answer_of_the_other_service_about_another_job_is_not_believed() -> None:
    other = {"uuid": "u-2", "status": 2, "used_credit": 4, "generate_result": "https://cdn.test/2.bin"}
    bench = make_core([reply(200, other)], service=GEMINIGEN)
    with pytest.raises(ProtocolError, match="which is not believed"):
        await poll(bench.core, "u-1")


async def test_a_wait_takes_an_answer_about_another_job_for_none_and_goes_on() -> None:
    async with a_service() as service:
        service.answers["7"] = lambda now: {"status": "completed", "id": 8 if now < 1_020 else 7}
        generation = await Job(service.core(), 7).wait()
        assert generation.id == 7
        assert 1_020 <= service.time.clock() < 1_050


async def test_the_path_is_remembered_for_each_shape_of_id_on_its_own() -> None:
    async with a_service() as service:
        paths = Paths(service, number=PENDING, text=(404, {"detail": "Not Found"}))
        core = service.core()
        await poll(core, "gen_7")
        await poll(core, 7)
        await poll(core, "gen_7")
        assert paths.paths() == ["/generate/status", "/generate", "/generate", "/generate"]


@pytest.mark.parametrize(
    ("number", "text", "raised"),
    [
        (404, 404, NotFoundError),
        (404, 405, APIStatusError),
        (405, 404, APIStatusError),
        (404, 500, InternalServerError),
    ],
)
async def test_only_when_both_paths_say_404_the_job_is_unknown(
    number: int, text: int, raised: type[APIStatusError]
) -> None:
    async with a_service() as service:
        paths = Paths(service, number=(number, {}), text=(text, {}))
        with pytest.raises(APIStatusError) as caught:
            await poll(service.core(max_retries=0), 7)
        assert isinstance(caught.value, raised)
        assert isinstance(caught.value, NotFoundError) == (raised is NotFoundError)
        assert paths.paths() == ["/generate", "/generate/status"]


async def test_a_page_of_somebody_else_on_the_other_path_does_not_say_that_the_job_is_unknown() -> None:
    bench = make_core([refusal(404, "not_found"), reply(404, b"<html>not here</html>")], max_retries=0)
    with pytest.raises(NotFoundError) as caught:
        await poll(bench.core, 7)
    assert not caught.value.is_from_service


@pytest.mark.parametrize(("id", "answered"), [(7, "gen_7"), ("gen_7", 7)])
@pytest.mark.parametrize(("status", "spent"), [("completed", 8), ("failed", 0)])
async def test_an_end_is_booked_for_the_job_that_was_asked_about_whichever_id_it_has(
    id: int | str, answered: int | str, status: str, spent: int
) -> None:
    final = {"id": answered, "status": status, "tokens_spent": spent}
    bench, budget = make_core([reply(200, final)]), Budget(100)
    asked = PriceQuery("flux", "flux")
    charges_of(bench.core).accepted(Generation.read({"id": id, **PENDING}), budget.reserve(10), asked)
    await poll(bench.core, id)
    assert (budget.spent, budget.reserved) == (spent, 0)


@pytest.mark.parametrize("seconds", [59.0, 61.0])
async def test_both_paths_share_one_deadline(seconds: float) -> None:
    def answer(sent: Sent) -> Reply:
        if len(bench.sent) > 1:
            return reply(200, {"id": 7, **PENDING})
        bench.time.elapsed += seconds
        return refusal(404, "not_found")

    bench = make_core(answer, deadline=60.0)
    if seconds < 60:
        assert (await poll(bench.core, 7)).id == 7
        return
    with pytest.raises(APITimeoutError, match="The deadline of 60 s for the whole call passed"):
        await poll(bench.core, 7)


async def test_another_error_is_not_asked_about_twice() -> None:
    async with a_service() as service:
        Paths(service, number=(500, {}), text=PENDING)
        with pytest.raises(InternalServerError):
            await poll(service.core(max_retries=0), 7)
        assert len(service.asked) == 1


async def test_the_reference_fills_what_the_answer_lacks_and_nothing_else() -> None:
    async with a_service() as service:
        core, ref = service.core(), JobRef(7, "video", "kling-v2.1")
        service.answers["7"] = lambda _: PENDING
        assert (await poll(core, ref)).ref == ref
        service.answers["7"] = lambda _: {"id": 7, "status": "pending", "model": "kling", "type": "image"}
        assert (await poll(core, ref)).ref == JobRef(7, "image", "kling")


@pytest.mark.parametrize("answer", [[], "pending", None])
async def test_an_answer_that_is_no_object_is_a_protocol_error(answer: Any) -> None:
    async with a_service() as service:
        service.answers["7"] = lambda _: (200, answer)
        with pytest.raises(ProtocolError):
            await poll(service.core(max_retries=0), 7)


async def test_call_options_reach_the_service() -> None:
    async with a_service() as service:
        service.answers["7"] = lambda _: PENDING
        await poll(service.core(), 7, CallOptions(extra_headers={"X-Trace": "t1"}))
        assert service.asked[0].headers["x-trace"] == "t1"


async def test_whatever_names_a_job_is_read() -> None:
    core = Service(VirtualTime()).core()
    ref = JobRef(7, "video", "kling-v2.1")
    generation = Generation.read({"id": 7, "status": "pending", "model": "kling-v2.1"}, kind="video")
    assert as_ref(ref) is ref
    assert as_ref(7) == JobRef(7)
    assert as_ref("gen_7") == JobRef("gen_7")
    assert as_ref(generation) == ref
    assert as_ref(Job(core, ref)) == ref


@pytest.mark.parametrize("id", ["", "  ", "..", True, None, 1.5, b"7"])
async def test_what_names_no_job_is_refused_before_anything_is_asked(id: Any) -> None:
    with pytest.raises(ConfigurationError, match="gen_"):
        as_ref(id)


async def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    async with a_service() as service:
        with pytest.raises(NotFoundError):
            await poll(service.core(), "../user/me?x=1#y")
        assert [asked.id for asked in service.asked] == ["..%2Fuser%2Fme%3Fx%3D1%23y"] * 2
