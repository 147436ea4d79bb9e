"""A paid request whose outcome is unknown: sent once, reported with what is needed to find it, and nothing secret."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from neuralbox import _errors as errors
from neuralbox._api.request import Form, FormFile, Request, RetrySafety
from neuralbox._config import CallOptions
from neuralbox._transport.base import Reply
from tests.helpers import KEY, START, Play, Sent, Step, make_core, reply

pytestmark = pytest.mark.anyio

PROMPT = "the planted prompt"
PAID = Request("POST", "/generate", RetrySafety.PAID, body={"model": "gpt-5", "prompt": PROMPT})
LOST = errors.ConnectionLostError("The connection broke.")


async def test_it_is_sent_once_and_says_when_and_what() -> None:
    bench = make_core([])

    async def answer(sent: Sent) -> Play:
        await bench.time.sleep(3.0)
        return LOST

    bench.transport._answer = answer
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(PAID, bench.core.as_json, CallOptions(extra_body={"seed": 7}))
    error = caught.value
    assert len(bench.sent) == 1
    # The body as it was sent, the call's own additions included.
    assert error.request == bench.sent[0].json == {"model": "gpt-5", "prompt": PROMPT, "seed": 7}
    assert error.sent_at == START + 3.0
    assert error.lost_at == START + 3.0
    assert isinstance(error.__cause__, errors.ConnectionLostError)
    assert (error.job, error.generation, error.candidates) == (None, None, ())


async def test_the_time_of_sending_is_that_of_the_first_byte_not_of_the_call() -> None:
    bench = make_core([errors.ConnectError("refused"), LOST])
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(PAID, bench.core.as_json)
    assert caught.value.sent_at == START + bench.times[1]
    assert bench.times[1] > 0


async def test_the_fields_of_an_upload_are_kept_but_not_the_recording() -> None:
    form = Form({"model": "whisper"}, (FormFile("audio", "talk.mp3", b"ID3", "audio/mpeg"),))
    bench = make_core([LOST])
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(
            Request("POST", "/stt", RetrySafety.PAID, form=form),
            bench.core.as_json,
            CallOptions(extra_body={"x": True}),
        )
    assert caught.value.request == {"model": "whisper", "x": True}


async def test_a_paid_request_without_a_body_is_reported_too() -> None:
    bench = make_core([LOST])
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(Request("POST", "/new", RetrySafety.PAID), bench.core.as_json)
    assert caught.value.request == {}


@pytest.mark.parametrize(
    "step",
    [LOST, reply(502, f"<html>{PROMPT} {KEY}</html>".encode()), reply(200, f'{{"prompt": "{PROMPT}"'.encode())],
)
async def test_neither_prompt_nor_key_is_shown(step: Step) -> None:
    bench = make_core([step])
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(PAID, bench.core.as_json)
    error = caught.value
    # A traceback quotes lines of source, never values; the prompt stands in none of ours.
    for text in (str(error), repr(error), "".join(traceback.format_exception(error))):
        assert KEY not in text
        assert PROMPT not in text
    assert "history" in str(error)


async def test_it_survives_pickling_and_copying_with_all_it_knows() -> None:
    bench = make_core([LOST])
    with pytest.raises(errors.SubmissionUnknownError) as caught:
        await bench.core.send(PAID, bench.core.as_json)
    for copied in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (copied.request, copied.sent_at, copied.lost_at) == (
            caught.value.request,
            caught.value.sent_at,
            caught.value.lost_at,
        )
        assert str(copied) == str(caught.value)


async def test_a_reply_whose_reading_finds_no_result_counts_as_unknown() -> None:
    def read(answer: Reply) -> None:
        raise errors.ProtocolError("Neither an id nor a result.", status_code=200)

    bench = make_core([reply(200, {})])
    with pytest.raises(errors.SubmissionUnknownError, match="Neither an id nor a result"):
        await bench.core.send(PAID, read)
    assert len(bench.sent) == 1


async def test_a_mistake_of_ours_while_reading_is_not_dressed_up_as_the_networks() -> None:
    def read(answer: Reply) -> None:
        raise KeyError("a bug")

    bench = make_core([reply(200, {})])
    with pytest.raises(KeyError):
        await bench.core.send(PAID, read)
