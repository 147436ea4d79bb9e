"""Every error of the tree: shown, copied, pickled, given its job, and drawn where the users read of it."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import re
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from neuralbox import _errors as errors
from neuralbox._errors import NeuralBoxError
from neuralbox._models.generation import Generation
from neuralbox._types import JobRef

JOB = JobRef(18500, "video", "kling-v2.1")
ADVICE = "The job 18500 (video kling-v2.1) is not lost: `client.job(error.job)` attaches again."


def tree(cls: type[NeuralBoxError] = NeuralBoxError) -> Iterator[type[NeuralBoxError]]:
    """Walk the classes this package defines, from the root."""
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CLASSES = list(tree())
# What a constructor takes beside its message, by parameter name.
ARGUMENTS: dict[str, Any] = {
    "job": JOB,
    "phase": "read",
    "status_code": 429,
    "body": "<html>",
    "code": "rate_limit_exceeded",
    "details": {"limit": [1, 2]},
    "request_id": "req-1",
    "headers": {"retry-after": "12"},
    "raw": {"error": "rate_limit_exceeded", "hint": "later"},
    "limit_hour": 200,
    "limit_day": 2000,
    "fields": {"size": "bad"},
    "retry_after": 12.5,
    "plan": "vip",
    "generation": Generation.read({"id": 18500, "status": "pending", "eta_seconds": 3}),
    "request": {"model": "kling-v2.1", "prompt": "A paper boat"},
    "sent_at": 1_772_971_200.0,
    "lost_at": 1_772_971_230.0,
    "candidates": (Generation.read({"id": 1}),),
    "text": "so far",
    "problems": ("age: Input should be a valid integer",),
    "answers": (Generation.read({"id": 1}),),
    "reason": "signature",
    "price": 60,
    "left": 7,
    "budget": 500,
}


def accepted(cls: type[NeuralBoxError]) -> dict[str, Any]:
    """All arguments that this class and the classes above it take by name."""
    taken = set()
    for base in cls.__mro__:
        if issubclass(base, NeuralBoxError) and "__init__" in vars(base):
            names = inspect.signature(base.__init__).parameters
            taken |= set(names) & set(ARGUMENTS)
            if "rest" not in names:
                break
    return {name: ARGUMENTS[name] for name in sorted(taken)}


def make(cls: type[NeuralBoxError]) -> NeuralBoxError:
    return cls("It went wrong.", **accepted(cls))


def state(error: NeuralBoxError) -> dict[str, Any]:
    return {"class": type(error), "args": error.args, **vars(error)}


every_class = pytest.mark.parametrize("cls", CLASSES, ids=[cls.__name__ for cls in CLASSES])


@every_class
def test_an_error_is_shown_by_its_sentence(cls: type[NeuralBoxError]) -> None:
    error = make(cls)
    assert str(error) == error.message == "It went wrong."
    assert repr(error) == f"{cls.__name__}('It went wrong.')"
    for name, value in accepted(cls).items():
        assert getattr(error, name) == value
    assert cls.__doc__


def pickled(protocol: int, error: Any) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "deepcopy": copy.deepcopy}
for _protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    WAYS[f"pickle {_protocol}"] = partial(pickled, _protocol)


@pytest.mark.uncovered
@every_class
@pytest.mark.parametrize("way", WAYS)
def test_an_error_survives_copying_and_pickling_whole(cls: type[NeuralBoxError], way: str) -> None:
    error = make(cls)
    error.add_note("on worker 3")
    copied = WAYS[way](error)
    assert copied is not error
    assert state(copied) == state(error)
    assert (str(copied), repr(copied), copied.__notes__) == (str(error), repr(error), ["on worker 3"])
    assert isinstance(copied, TimeoutError) is isinstance(error, TimeoutError)


@every_class
def test_an_error_gets_its_job_without_changing(cls: type[NeuralBoxError]) -> None:
    cause = OSError("reset")
    error = make(cls)
    error.job = None
    if isinstance(error, errors.NotFoundError):
        error.is_from_service = False
    try:
        raise error from cause
    except NeuralBoxError as caught:
        told = caught.with_job(JOB)
    assert type(told) is cls
    assert told.job == JOB
    assert told.message == f"It went wrong. {ADVICE}"
    assert (told.__cause__, told.__traceback__) == (cause, error.__traceback__)
    assert {**state(told), "args": error.args, "job": None} == state(error)
    assert (error.job, error.message) == (None, "It went wrong.")
    assert pickle.loads(pickle.dumps(told)).job == JOB


def test_a_job_the_service_does_not_know_is_not_said_to_be_there() -> None:
    told = make(errors.NotFoundError).with_job(JOB)
    assert (told.job, told.message) == (JOB, "It went wrong.")


def test_the_advice_is_given_once() -> None:
    twice = make(errors.APITimeoutError).with_job(JOB).with_job(JOB)
    assert twice.message == f"It went wrong. {ADVICE}"


@every_class
def test_an_error_is_freed_without_the_collector(cls: type[NeuralBoxError]) -> None:
    """Errors that hold themselves through handles or tracebacks keep whole requests alive until a collection."""

    def raised_and_told() -> list[weakref.ref[NeuralBoxError]]:
        try:
            raise make(cls) from OSError("reset")
        except NeuralBoxError as error:
            return [weakref.ref(error), weakref.ref(error.with_job(JOB)), weakref.ref(copy.deepcopy(error))]

    gc.disable()
    try:
        assert [reference() for reference in raised_and_told()] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.APITimeoutError, TimeoutError),
        (errors.GenerationTimeoutError, TimeoutError),
    ],
)
def test_some_errors_are_caught_by_their_builtin_too(cls: type[NeuralBoxError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match=r"It went wrong\."):
        raise make(cls)


def test_what_an_error_is_given_is_copied() -> None:
    details, fields, request = {"a": 1}, {"size": "bad"}, {"prompt": "x"}
    refused = errors.UnprocessableEntityError("No.", status_code=422, details=details, fields=fields)
    unknown = errors.SubmissionUnknownError("?", request=request, candidates=[1])
    details["a"], fields["size"], request["prompt"] = 2, "", ""
    assert (refused.details, refused.fields) == ({"a": 1}, {"size": "bad"})
    assert (unknown.request, unknown.candidates) == ({"prompt": "x"}, (1,))


def test_what_an_error_is_not_given_is_empty() -> None:
    assert errors.APIStatusError("No.", status_code=409).details == {}
    assert errors.UnprocessableEntityError("No.", status_code=422).fields == {}
    assert errors.SubmissionUnknownError("?").request == {}
    assert errors.StreamInterruptedError("cut").text == ""
    assert errors.ProtocolError("HTML").status_code is None
    assert NeuralBoxError("x").job is None


def test_an_error_without_arguments_has_an_empty_message() -> None:
    error = NeuralBoxError("x")
    error.args = ()
    assert error.message == str(error) == ""


@every_class
def test_a_prompt_is_kept_out_of_the_words(cls: type[NeuralBoxError]) -> None:
    error = make(cls).with_job(JOB)
    assert "paper boat" not in str(error) + repr(error)


# The tree as it is drawn.


def drawn(text: str) -> dict[str, str | None]:
    """Read a drawing: class name to the name it stands under."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for row in text.splitlines():
        indent = len(row) - len(row.lstrip())
        if indent < 4 or not row.strip():
            continue
        line = re.sub(r"`[^`]*`", "", row)
        while above and above[-1][0] >= indent:
            above.pop()
        parent = above[-1][1] if above else None
        first, *others = re.findall(r"(?<!\()\b[A-Z][A-Za-z]*Error\b", line) or [None]
        if first is None:
            continue
        parents[first] = parent
        under = first if f"{first} 5xx:" in line else parent
        parents |= dict.fromkeys(others, under)
        # `DownloadError (ExpiredFileError)`: what stands in brackets is below the last one named before it.
        for inner in re.findall(r"\(([A-Z][A-Za-z]*Error)\)", line):
            if hasattr(errors, inner):
                parents[inner] = [first, *others][-1]
        above.append((indent, first))
    return parents


def test_the_drawing_is_the_tree() -> None:
    picture = inspect.getdoc(errors)
    assert picture is not None
    real = {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES if cls is not NeuralBoxError}
    assert drawn(picture) == {"NeuralBoxError": None, **real}


def test_the_drawing_names_the_builtins_that_catch_an_error() -> None:
    picture = errors.__doc__ or ""
    for cls in CLASSES:
        for builtin in (ValueError, TimeoutError):
            direct = builtin in cls.__bases__
            assert (f"{cls.__name__} ({builtin.__name__})" in picture) is direct


def test_a_job_reference_is_written_with_what_is_known() -> None:
    assert str(JobRef("gen_1")) == "job gen_1"
    assert str(JobRef("7\n\x1b[31mERROR", "text\r\n", "g\u202ept")) == "job 7 [31mERROR (text gpt)"
    assert len(str(JobRef("x" * 1_000_000, "y" * 1_000, "z" * 1_000))) < 320
    assert str(JobRef(5, model="gpt-5")) == "job 5 (gpt-5)"
    assert str(JobRef(5, "text", "gpt-5")) == "job 5 (text gpt-5)"
    assert pickle.loads(pickle.dumps(JOB)) == JOB
