"""A text for programs: asked for by a JSON Schema, parsed, and validated by pydantic.

The service has no JSON mode [docs/service/neuralbox.md 7], so the schema goes along as words, and the answer is read for
what it is: a text that somebody else wrote. What is asked and how an answer is read are plain functions; `create` sends.

- Every request is a paid call like any other: in the budget, in the hooks, told to `on_accepted`.
- An answer that was paid for is never lost: whatever goes wrong after it, the error carries its text.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from pydantic import PydanticUndefinedAnnotation, PydanticUserError, ValidationError
from pydantic_core import SchemaError

from ._api.builders import Message
from ._api.checks import require_whole
from ._config import CallOptions
from ._core.exchange import Core
from ._errors import ConfigurationError, NeuralBoxError, SchemaMismatchError
from ._models.generation import Generation
from ._plain_text import clipped, plain
from ._requests.text import TextRequest
from ._submissions import submission
from ._submissions.cached_call import cached_call
from ._submissions.submission import OnAccepted
from ._types import Omit

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger("neuralbox")

SchemaT = TypeVar("SchemaT")

_ASK: Final = (
    "Answer with JSON alone: one value that fits the JSON Schema below, and nothing before or after it.\n\n"
    "JSON Schema:\n"
)
_ASK_AGAIN: Final = (
    "That answer does not fit the JSON Schema:\n{problems}\nAnswer again, with the corrected JSON alone."
)
# Texts are others' words: of one with thousands of brackets only so many are tried, and so many faults are told.
_MOST_STARTS: Final = 16
_MOST_PROBLEMS: Final = 8
_LONGEST_PROBLEM: Final = 200

_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_START = re.compile(r"[{\[]")
_LINE = re.compile(r'^[ \t]*("(?:[^"\\\n]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)[ \t]*\r?$', re.MULTILINE)
_THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)  # as deepseek-r1 writes them: drafts, and no answer


async def create(
    core: Core,
    request: TextRequest,
    call: CallOptions,
    *,
    schema: type[SchemaT],
    repair: int,
    wait_timeout: float | Omit | None,
    on_accepted: OnAccepted | None,
) -> SchemaT:
    """Ask for a text that fits the schema and return what it says.

    Raises:
        ConfigurationError: The type has no JSON Schema, or the request cannot be right; nothing was sent.
        SchemaMismatchError: The last answer does not fit; or the first one does not, and it could not be repaired.
        NeuralBoxError: The first request failed; as of `submission.create`.
    """
    require_repair(repair)
    request.build(core.options.dialect)  # refuses what is wrong with what the caller gave, before words are added
    adapter, wire_schema = adapter_of(schema)
    asked = with_schema(request, wire_schema)
    # A name of its own: what it was repaired to is no answer to the same words without a schema.
    cached = cached_call(core, asked.build(core.options.dialect), call, kind="schema")
    known = None if cached is None else await cached.find()
    if known is not None:
        with suppress(Exception):  # what validates it has changed since, so it is asked for again
            return read_answer(adapter, known.text or "")
    answers: list[Generation] = []
    problems: Sequence[str] = ()
    while True:
        try:
            generation = await submission.create(
                core,
                asked.build(core.options.dialect),
                call,
                kind=asked.result_kind,
                model=asked.model,
                wait_timeout=wait_timeout,
                on_accepted=on_accepted,
                uses_cache=False,  # an answer that does not fit would be the same for ever
            )
        except NeuralBoxError as error:
            if not answers:
                raise
            raise _mismatch(answers, problems, f"It was not repaired: {error.message}") from error
        except anyio.get_cancelled_exc_class():
            if answers:
                logger.warning("A repair was cancelled; the %s is paid for, and does not fit.", answers[-1].ref)
            raise
        answers.append(generation)
        text = generation.text or ""
        try:
            found = read_answer(adapter, text)
        except _UnfitError as error:
            problems = error.problems
            if len(answers) > repair:
                raise _mismatch(answers, problems) from error.__cause__
        except Exception as error:  # a validator of the user's own, whatever it raises; the answer is paid for
            raise _mismatch(answers, [f"a validator raised {type(error).__name__}"]) from error
        else:
            if cached is not None:
                await cached.keep(generation)
            return found
        asked = with_complaint(asked, text, problems)


def require_repair(repair: object) -> None:
    """Refuse what is neither 0 nor 1."""
    require_whole("`repair`", repair, lowest=0)
    if repair not in (0, 1):
        raise ConfigurationError(f"`repair` must be 0 or 1: each repair is another paid request; it is {repair!r}.")


def require_no_repair(repair: object) -> None:
    """Refuse repairs of a text that no schema describes."""
    require_repair(repair)
    if repair:
        raise ConfigurationError("`repair` needs a `schema`: without one, there is nothing that an answer must fit.")


# What is asked.


def adapter_of(schema: type[SchemaT]) -> tuple[TypeAdapter[SchemaT], dict[str, Any]]:
    """Return what validates a type, and the JSON Schema that describes it.

    Raises:
        ConfigurationError: pydantic knows no schema of it, or none that JSON has words for.
    """
    from pydantic import TypeAdapter  # texts without a schema do without it

    given: object = schema
    if isinstance(
        given, Mapping | str
    ):  # pydantic takes the one for a schema of its own, and the other for a type's name
        raise ConfigurationError(
            f"`schema` is the type to return, such as a pydantic model; it is {type(given).__name__}. A JSON Schema alone makes "
            "no value."
        )
    try:
        adapter = TypeAdapter(schema)
        return adapter, adapter.json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError) as error:
        name = getattr(schema, "__name__", repr(schema))
        why = str(error) if isinstance(error, SchemaError) else error.message
        raise ConfigurationError(f"`schema` has no JSON Schema ({name}): {why}") from error


def with_schema(request: TextRequest, schema: dict[str, Any]) -> TextRequest:
    """Ask for what the schema describes, where the instructions of a text stand.

    An assistant brings a system prompt of its own, and so may the messages: then it is said after what the user says.
    """
    words = _ASK + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if request.assistant_id is not None or any(turn["role"] == "system" for turn in request.messages or ()):
        return replace(request, prompt=_joined(request.prompt, words))
    return replace(request, system=_joined(request.system, words))


def with_complaint(request: TextRequest, answer: str, problems: Sequence[str]) -> TextRequest:
    """Ask again: the turns so far, the answer, and what is wrong with it."""
    turns: list[Message] = [*(request.messages or ())]
    if request.prompt is not None:
        turns.append({"role": "user", "content": request.prompt})
    turns.append({"role": "assistant", "content": answer.strip() or "(nothing)"})
    listed = "\n".join(f"- {problem}" for problem in problems)
    return replace(request, messages=turns, prompt=_ASK_AGAIN.format(problems=listed))


def _joined(before: str | None, words: str) -> str:
    return words if before is None else f"{before}\n\n{words}"


# What is answered.


class _UnfitError(Exception):
    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(*problems)
        self.problems = problems


def read_answer(adapter: TypeAdapter[SchemaT], text: str) -> SchemaT:
    """Return what an answer says: the first JSON in it that fits.

    Models put words and code fences around JSON, also when they are asked not to.

    Raises:
        _UnfitError: There is none; its `problems` are those of the first JSON that came nearest: that could be read, else
            that begins as JSON does.
    """
    nearest: ValidationError | None = None
    nearness = 0
    for candidate, is_part in candidates(text):
        try:
            return adapter.validate_json(candidate)
        except ValidationError as error:
            near = 0 if is_part else 3 if not _is_broken(error) else 2 if _START.match(candidate) else 1
            if near > nearness:
                nearest, nearness = error, near
    if nearest is None:
        raise _UnfitError(["there is no JSON in it"])
    raise _UnfitError(problems_of(nearest)) from nearest


def candidates(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text that may be JSON: all of it, what stands in fences, and what begins with a bracket.

    Where nothing does, the only word or number that has a line for itself. What a model thought aloud before it answered
    is left out. With each goes whether it stands inside broken JSON: that it does not fit is not what is wrong there.
    """
    if thoughts := _THOUGHTS.match(text):
        text = text[thoughts.end() :]
    whole = text.strip().removeprefix("\ufeff")
    if whole:
        yield whole, False
    for fenced in _FENCE.findall(text)[:_MOST_STARTS]:
        if fenced.strip():
            yield fenced.strip(), False
    if _START.search(text) is None and len(alone := _LINE.findall(text)) == 1:
        yield alone[0], False
    decoder, end, broken_to, tries = json.JSONDecoder(), 0, 0, 0
    for start in (match.start() for match in _START.finditer(text)):
        if start < end:
            continue  # inside what was read already
        if tries == _MOST_STARTS:
            return
        tries += 1
        try:
            end = decoder.raw_decode(text, start)[1]
        except (ValueError, RecursionError) as error:
            yield text[start:], start < broken_to  # what is wrong with it is told where nothing else is nearer
            if isinstance(error, json.JSONDecodeError):
                # A string without its end, or with an error in it, may go on to the end.
                in_string = error.msg.startswith(("Unterminated", "Invalid"))
                broken_to = max(broken_to, len(text) if in_string else error.pos)
        else:
            yield text[start:end], start < broken_to


def problems_of(error: ValidationError) -> list[str]:
    """Say what is wrong, field by field, without what the answer holds."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        clipped(plain(f"{'.'.join(map(str, one['loc'])) or 'the value'}: {one['msg']}"), _LONGEST_PROBLEM)
        for one in found
    ]
    more = len(lines) - _MOST_PROBLEMS
    return [*lines[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]


def _is_broken(error: ValidationError) -> bool:
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid"


def _mismatch(answers: Sequence[Generation], problems: Sequence[str], more: str = "") -> SchemaMismatchError:
    last = answers[-1]
    said = f"The answer does not fit the schema ({'; '.join(problems[:3])}); `.text` is what was answered."
    return SchemaMismatchError(
        f"{said} {more}".strip(),
        text=last.text or "",
        problems=problems,
        answers=answers,
        job=last.ref,
        generation=last,
    )
