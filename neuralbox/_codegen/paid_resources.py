"""Write the resources whose calls cost tokens, from the request classes of `_requests`.

A request class says what options its kind has, with which types, defaults and words; what is added here is what a method
is called and how its documentation begins and ends. So an option stands in one place, and `create`, `submit`, `nb.batch`
and JSON lines agree on it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .async_source import Module, UnsupportedError, head, read_module

_WIDTH = 120
# Fields of every request that a resource says in other ways: `key` with a journal, `extra_body` for one call.
_ELSEWHERE = frozenset({"key", "extra_body"})

_WAIT_TIMEOUT = (
    "Limit of the wait in seconds, where the service answers `pending`; None waits without limit. Default: "
    "`polling.timeout`, 600."
)
_ON_ACCEPTED = (
    "Called with the `JobRef` as soon as its id is known, before anything is waited for; a plain or an async function, "
    "which a cancellation does not interrupt. What it raises is logged; the job goes on."
)
_RAISES = (
    "SubmissionUnknownError: The request was sent and its outcome is unknown; it was not sent again.",
    "GenerationFailedError: It ended without a result{free}.",
    "GenerationTimeoutError: The wait's limit passed; the job still runs, `.job` attaches again.",
    "APIStatusError: The service refused, by status.",
)
_SUBMIT = """\
With `journal=`, a file that is made if it is not there, the job is kept in it under `key=`: the same key again gives the
same job, also after a crash, and is charged once.
"""
# A kind whose texts may be asked to fit a schema: what `create` takes for it, by its two forms and together.
_PARSED = {
    "schema": "A pydantic model, or another type that pydantic validates: the answer is asked to be JSON that fits it, and "
    "returned as one. The service has no JSON mode, so the JSON Schema goes along in words, where the system prompt is.",
    "repair": "1 asks once more, with what was wrong, where the answer does not fit: a further paid request, within the "
    "budget. The limits of a call hold for each of the two.",
}
_PLAIN_FORM = ("schema: None = None", "repair: Literal[0] = 0")
_PARSED_FORM = ("schema: type[SchemaT]", "repair: Literal[0, 1] = 0")
_BOTH_FORMS = ("schema: type[SchemaT] | None = None", "repair: Literal[0, 1] = 0")
_MISMATCH = "SchemaMismatchError: The answer was paid for and does not fit `schema`; `.text` is what was answered."
_STREAM = '''\
        """Generate a text and read it while it is written; arguments as in `create`.

            async with nb.text.stream(model="gpt-5", prompt="...") as stream:
                async for delta in stream:
                    print(delta, end="")
            stream.result

        Returns:
            A context manager; nothing is sent before its block is entered, and leaving the block frees the connection.

        Raises:
            ConfigurationError: Something in the call cannot be right; nothing was sent.

        Source:
            NeuralBox API, "Streaming" [nb:en/guides/streaming], `"stream": true` (SEED 003), or
            `POST /api/v2/generate/stream` with `Dialect(stream="path")`.
        """
'''


@dataclass(frozen=True, kw_only=True)
class PaidResource:
    """What a request class does not say about its resource.

    Attributes:
        request: The file of the request class, without its ending; its class is the only one there.
        module: The resource's file, without its ending, and what the client calls it.
        service: The package of another service, where the files of both are, with an underscore before their names.
        about: The first line of the resource's module.
        doc: The documentation of the resource's class.
        create: The first sentence of `create`'s documentation.
        returns: What `create` returns.
        refused: What a `ConfigurationError` of `create` says; nothing was sent.
        submit: The first words of `submit`'s documentation; empty where the kind has none.
        submitted: What `submit` returns.
        is_streamed: Whether the kind can be read while it is written.
        is_parsed: Whether it may be asked to fit a schema, and is returned as what that describes.
        extra: What `extra_body` is to one call, where that is not a matter of course.
        waiting: The name of the method that waits.
        submitting: The name of the one that does not.
        also: Further request classes whose methods stand in the same resource, under names of their own.
    """

    request: str
    module: str
    about: str
    doc: str
    create: str
    returns: str
    refused: str = "The prompt or model is empty"
    submit: str = ""
    submitted: str = "The job, which may already be finished."
    is_streamed: bool = False
    is_parsed: bool = False
    extra: str = ""
    service: str = ""
    waiting: str = "create"
    submitting: str = "submit"
    also: Sequence[PaidResource] = ()

    @property
    def source(self) -> str:
        """The file of the request class, below the package."""
        return f"{self.service}/_{self.request}.py" if self.service else f"_requests/{self.request}.py"

    @property
    def target(self) -> str:
        """The resource's file, below the package."""
        return f"{self.service}/_{self.module}.py" if self.service else f"_resources/{self.module}.py"

    @property
    def cls(self) -> str:
        """The resource's class."""
        return ("Gemini" if self.service else "") + self.module.title()


_GEMINI_JOB = "The job: `await job.wait()`, or keep `job.id`, its uuid, and attach again with `client.job(uuid)`."

PAID_RESOURCES: Sequence[PaidResource] = (
    PaidResource(
        request="generate",
        module="generate",
        about="Any model, a prompt, and `params`: the quickstart's shape.",
        doc="Any model by its slug; the typed resources know the options of their kind, this one takes what it is given.",
        create="Generate, and wait for the result where the service answers `pending`.",
        returns="The completed generation.",
        submit="Generate",
    ),
    PaidResource(
        request="text",
        module="text",
        about="Text: whole or streamed.",
        doc="Language models.",
        create="Generate a text.",
        returns="The completed generation; `text` holds the answer, `usage` the language model's own token counts. With "
        "`schema`, what the answer says.",
        refused="Something in the call cannot be right",
        submit="Generate a text",
        submitted="The job, which is already finished: `await job.wait()` gives its text.",
        is_streamed=True,
        is_parsed=True,
    ),
    PaidResource(
        request="image",
        module="images",
        about="Images.",
        doc="Image models: one image a call.",
        create="Generate an image, waiting for the slow models (Midjourney answers `pending`).",
        returns="The completed generation; `url` is the file, `width` and `height` its pixels.",
        submit="Generate an image",
        submitted="The job, which is already finished for models that answer at once.",
    ),
    PaidResource(
        request="video",
        module="videos",
        about="Videos: always jobs.",
        doc="Video models; a video takes some 20 to 180 seconds.",
        create="Generate a video and wait for it.",
        returns="The completed generation; `url` is the file, `duration` its seconds.",
        submit="Generate a video",
        submitted="The job: `await job.wait()`, or keep `job.id` and attach again with `client.job(id)`.",
    ),
    PaidResource(
        request="speech",
        module="speech",
        about="Text to speech.",
        doc="Speech models.",
        create="Speak a text.",
        returns="The completed generation; `url` is the file.",
        refused="The text or model is empty, or the speed is out of range",
        submit="Speak a text",
    ),
    PaidResource(
        request="transcription",
        module="transcriptions",
        about="Speech to text: the one upload.",
        doc="Speech-to-text models.",
        create="Write down what is said in a recording.",
        returns="The completed generation; `text` holds the words.",
        refused="The file is not there, empty or too large",
        submit="Write down what is said in a recording",
        extra=" (further form fields)",
    ),
    PaidResource(
        request="music",
        module="music",
        about="Music.",
        doc="Music models; some answer at once, some as jobs (C29).",
        create="Generate music and wait for it where the service answers `pending`.",
        returns="The completed generation; `url` is the file, `duration` its seconds.",
        refused="The prompt or model is empty, or the duration is out of range",
        submit="Generate music",
    ),
    PaidResource(
        request="tool",
        module="tools",
        about="Tools: upscaling, face swap, text recognition and their like.",
        doc="Tools by slug. Their parameters are not documented, so they are passed on as they are given.",
        create="Run a tool and wait for its result where the service answers `pending`.",
        returns="The completed generation; `url` or `text` (text recognition) holds the result.",
        refused="The model is empty",
        submit="Run a tool",
    ),
    PaidResource(
        service="geminigen",
        request="image_request",
        module="images",
        about="Pictures by GeminiGen.",
        doc="Image models.",
        create="Make a picture and wait for it.",
        returns="The completed generation; `url` is the file, and `HistoryItem.read(generation.raw)` has all there is.",
        refused="The prompt is empty, the model's family is not known, a reference is one too many or cannot be read",
        submit="Make a picture",
        submitted=_GEMINI_JOB,
    ),
    PaidResource(
        service="geminigen",
        request="video_request",
        module="videos",
        about="Films by GeminiGen, more of them, and films of several scenes.",
        doc="Video models.",
        create="Make a film and wait for it.",
        returns="The completed generation; `url` is the file, and `HistoryItem.read(generation.raw)` has all there is.",
        refused="The prompt is empty, the model's family is not known, a reference is one too many or cannot be read",
        submit="Make a film",
        submitted=_GEMINI_JOB,
        also=(
            PaidResource(
                request="extension_request",
                module="videos",
                service="geminigen",
                about="",
                doc="",
                waiting="extend",
                submitting="submit_extension",
                create="Go on with a film and wait for what comes of it.",
                returns="The completed generation, a record of its own; `url` is the file.",
                refused="The prompt or the uuid is empty, or films of the family are not extended",
                submit="Go on with a film",
                submitted=_GEMINI_JOB,
            ),
            PaidResource(
                request="storyboard_request",
                module="videos",
                service="geminigen",
                about="",
                doc="",
                waiting="create_storyboard",
                submitting="submit_storyboard",
                create="Make a film of several scenes and wait for it.",
                returns="The completed generation; `url` is the file.",
                refused="There are too few or too many scenes, one has no prompt or other seconds, or all are too long together",
                submit="Make a film of several scenes",
                submitted=_GEMINI_JOB,
            ),
        ),
    ),
    PaidResource(
        service="geminigen",
        request="speech_request",
        module="speech",
        about="Speech by GeminiGen: a text, a dialogue, or a document.",
        doc="Speech models.",
        create="Speak a text and wait for the recording.",
        returns="The completed generation; `url` is the file.",
        refused="The text is empty or too long, there is no voice, or the speed is out of range",
        submit="Speak a text",
        submitted=_GEMINI_JOB,
        also=(
            PaidResource(
                request="dialogue_request",
                module="speech",
                service="geminigen",
                about="",
                doc="",
                waiting="create_dialogue",
                submitting="submit_dialogue",
                create="Speak a dialogue and wait for the recording.",
                returns="The completed generation; `url` is the file.",
                refused="A block is empty or too long, there is no voice, or the speed is out of range",
                submit="Speak a dialogue",
                submitted=_GEMINI_JOB,
            ),
            PaidResource(
                request="document_request",
                module="speech",
                service="geminigen",
                about="",
                doc="",
                waiting="create_document",
                submitting="submit_document",
                create="Read a document aloud and wait for the recording.",
                returns="The completed generation; `url` is the file.",
                refused="The document cannot be read, is none of those that are read aloud or too large, there is no voice, or the speed "
                "is out of range",
                submit="Read a document aloud",
                submitted=_GEMINI_JOB,
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Option:
    """One option of a kind: a field of its request class.

    Attributes:
        name: Its name.
        annotation: Its type.
        default: Its default, as text; None where it must be given.
        doc: What its class says about it.
    """

    name: str
    annotation: ast.expr
    default: str | None
    doc: str


@dataclass(frozen=True)
class Call:
    """One request class, and how its methods are called.

    Attributes:
        resource: What the class does not say.
        module: Its file.
        node: The class.
        options: Its fields.
        sections: Of its documentation.
    """

    resource: PaidResource
    module: Module
    node: ast.ClassDef
    options: Sequence[Option]
    sections: Mapping[str, str]


def write_resource(resource: PaidResource, read: Callable[[str], str]) -> str:
    """Return the module of one resource, not yet formatted.

    Args:
        resource: What its request classes do not say.
        read: Reads a file below the package.

    Raises:
        UnsupportedError: A file does not hold one request class whose options are all documented.
    """
    calls = [_read_call(each, each.source, read(each.source)) for each in (resource, *resource.also)]
    return "\n".join(_module(resource, calls))


def _read_call(resource: PaidResource, request: str, text: str) -> Call:
    module = read_module(request, text)
    if len(module.classes) != 1:
        raise UnsupportedError(
            f"{request}: must hold one request class; it holds {', '.join(module.classes) or 'none'}"
        )
    (node,) = module.classes.values()
    sections = _sections(ast.get_docstring(node) or "")
    options = [*_options(node, _entries(sections.get("Attributes", "")))]
    for option in options:
        if not option.doc:
            raise UnsupportedError(f"{request}: {node.name}.{option.name}: has no line under `Attributes`")
    if "Source" not in sections:
        raise UnsupportedError(f"{request}: {node.name}: does not say its `Source`")
    return Call(resource, module, node, options, sections)


def _imports_of(call: Call) -> set[str]:
    names = call.module.names
    used = {
        name.id
        for option in call.options
        for name in ast.walk(option.annotation)
        if isinstance(name, ast.Name) and name.id in names
    }
    used |= {option.default for option in call.options if option.default in names}
    return {names[name] for name in {*used, call.node.name}}


def _module(resource: PaidResource, calls: Sequence[Call]) -> Iterator[str]:
    yield f'"""{resource.about}'
    yield ""
    yield "Written by `python -m neuralbox._codegen` from the request class; do not edit."
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield from sorted(set().union(*map(_imports_of, calls)))
    yield from _IMPORTS
    yield ""
    yield f"class {resource.cls}{'' if resource.service else '(Guided)'}:"
    yield f'    """{resource.doc}"""'
    yield ""
    yield "    def __init__(self, core: Core) -> None:"
    yield "        self._core = core"
    yield ""
    for call in calls:
        yield from _create(call.resource, call.node, call.options, call.sections)
        if call.resource.submit:
            yield from _submit(call.resource, call.node, call.options, call.sections)
        if call.resource.is_streamed:
            yield from _stream(call.node, call.options)


_IMPORTS = (
    "import os",
    "from typing import Literal, Unpack, overload",
    "from .. import _structured_text as structured_text",
    "from .._api.elsewhere import Guided",
    "from .._config import CallArgs, CallOptions",
    "from .._core.exchange import Core",
    "from .._models.generation import Generation",
    "from .._polling.job import Job",
    "from .._structured_text import SchemaT",
    "from .._submissions import keyed, submission",
    "from .._submissions.submission import OnAccepted",
    "from .._text_stream.stream import TextStream",
    "from .._types import OMIT, Omit",
)
_ACCEPTED = "on_accepted: OnAccepted | None = None"


def _create(
    resource: PaidResource, node: ast.ClassDef, options: Sequence[Option], sections: Mapping[str, str]
) -> Iterator[str]:
    more: tuple[str, ...] = ("wait_timeout: float | Omit | None = OMIT", _ACCEPTED)
    if resource.is_parsed:
        for form, returns in ((_PLAIN_FORM, "Generation"), (_PARSED_FORM, "SchemaT")):
            yield "    @overload"
            yield from _signature(f"async def {resource.waiting}", options, (*form, *more), returns)
            yield "        ..."
            yield ""
        more = (*_BOTH_FORMS, *more)
    returned = "Generation | SchemaT" if resource.is_parsed else "Generation"
    yield from _signature(f"async def {resource.waiting}", options, more, returned)
    documented = {option.name: option.doc for option in options}
    documented |= _PARSED if resource.is_parsed else {}
    documented |= {"wait_timeout": _WAIT_TIMEOUT, "on_accepted": _ON_ACCEPTED}
    documented["**call"] = f"`timeout`, `extra_headers`, `extra_query`, `extra_body`{resource.extra} of this call."
    yield f'        """{resource.create}'
    yield ""
    if "" in sections:
        yield from _wrapped(sections[""], 8)
        yield ""
    yield "        Args:"
    for name, doc in documented.items():
        yield from _wrapped(f"{name}: {doc}", 12, 16)
    yield from _section("Returns", resource.returns)
    said = (*_RAISES, _MISMATCH) if resource.is_parsed else _RAISES
    raises = (line.format(free="" if resource.service else "; no tokens were charged") for line in said)
    yield from _section("Raises", f"ConfigurationError: {resource.refused}; nothing was sent.", *raises)
    yield from _section("Source", sections["Source"])
    yield '        """'
    yield from _built(node, options, parsed=resource.is_parsed)
    yield "        return await submission.create("
    yield "            self._core, wire, CallOptions.of(call), kind=request.result_kind, model=model,"
    yield "            wait_timeout=wait_timeout, on_accepted=on_accepted,"
    yield "        )"
    yield ""


def _submit(
    resource: PaidResource, node: ast.ClassDef, options: Sequence[Option], sections: Mapping[str, str]
) -> Iterator[str]:
    more = (_ACCEPTED, "journal: str | os.PathLike[str] | None = None", "key: str | None = None")
    yield from _signature(f"async def {resource.submitting}", options, more, "Job")
    yield f'        """{resource.submit} without waiting; arguments and errors as in `{resource.waiting}`.'
    yield ""
    yield from _wrapped(_SUBMIT, 8)
    yield from _section("Returns", resource.submitted)
    yield from _section(
        "Raises",
        "JournalError: The key stands for another request, or the journal cannot be used; `.reason` says why.",
    )
    yield from _section("Source", sections["Source"])
    yield '        """'
    yield from _built(node, options)
    yield "        return await keyed.submit("
    yield "            self._core, wire, CallOptions.of(call), kind=request.result_kind, model=model,"
    yield "            on_accepted=on_accepted, journal=journal, key=key,"
    yield "        )"
    yield ""


def _stream(node: ast.ClassDef, options: Sequence[Option]) -> Iterator[str]:
    yield from _signature("def stream", options, (_ACCEPTED,), "TextStream")
    yield _STREAM.rstrip()
    yield from _request(node, options)
    yield "        wire = request.build_stream(self._core.options.dialect)"
    yield "        return TextStream(self._core, wire, CallOptions.of(call), on_accepted=on_accepted)"
    yield ""


def _signature(start: str, options: Sequence[Option], more: Sequence[str], returns: str) -> Iterator[str]:
    yield f"    {start}("
    yield "        self,"
    yield "        *,"
    for option in options:
        default = "" if option.default is None else f" = {option.default}"
        yield f"        {option.name}: {ast.unparse(option.annotation)}{default},"
    yield from (f"        {parameter}," for parameter in more)
    yield "        **call: Unpack[CallArgs],"
    yield f"    ) -> {returns}:"


def _built(node: ast.ClassDef, options: Sequence[Option], *, parsed: bool = False) -> Iterator[str]:
    """Make the request, and what is sent of it: files are read first where the kind has any."""
    yield from _request(node, options)
    if parsed:
        yield "        if schema is not None:"
        yield "            return await structured_text.create("
        yield "                self._core, request, CallOptions.of(call), schema=schema, repair=repair,"
        yield "                wait_timeout=wait_timeout, on_accepted=on_accepted,"
        yield "            )"
        yield "        structured_text.require_no_repair(repair)"
    reads = any(isinstance(member, ast.AsyncFunctionDef) and member.name == "prepare" for member in node.body)
    yield f"        wire = {'await request.prepare' if reads else 'request.build'}(self._core.options.dialect)"


def _request(node: ast.ClassDef, options: Sequence[Option]) -> Iterator[str]:
    yield f"        request = {node.name}({', '.join(f'{option.name}={option.name}' for option in options)})"


# What a request class says.


def _options(node: ast.ClassDef, docs: Mapping[str, str]) -> Iterator[Option]:
    for statement in node.body:
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        name = statement.target.id
        if head(statement.annotation) != "ClassVar" and name not in _ELSEWHERE:
            yield Option(name, statement.annotation, _default(statement.value), docs.get(name, ""))


def _default(value: ast.expr | None) -> str | None:
    """Return the default of a field, `field(default=...)` taken apart."""
    if head(value) == "field" and isinstance(value, ast.Call):
        value = next((keyword.value for keyword in value.keywords if keyword.arg == "default"), None)
    return None if value is None else ast.unparse(value)


def _sections(doc: str) -> dict[str, str]:
    """Take a Google-style docstring apart; under the empty name what stands between the first line and the sections."""
    parts = re.split(r"(?m)^(\w+):\n", doc.partition("\n")[2].strip("\n"))
    sections = {"": parts[0].strip()} if parts[0].strip() else {}
    return sections | {name: textwrap.dedent(text).strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _entries(section: str) -> dict[str, str]:
    """Take a section of `name: what it is` apart."""
    parts = re.split(r"(?m)^(\w+): ", section)
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _section(title: str, *entries: str) -> Iterator[str]:
    yield ""
    yield f"        {title}:"
    for entry in entries:
        yield from _wrapped(entry, 12, 16 if title == "Raises" else 12)


def _wrapped(text: str, first: int, rest: int | None = None) -> list[str]:
    rest = first if rest is None else rest
    return textwrap.wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
