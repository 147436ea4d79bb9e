"""What cannot be right is one clear error before anything is sent, and before money is spent."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuralbox import _errors as errors
from neuralbox._api.vocabulary import MAX_UPLOAD_BYTES
from neuralbox._config import Dialect
from neuralbox._core.exchange import Core
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._resources.account import Account
from neuralbox._resources.assistants import Assistants
from neuralbox._resources.auth import Auth
from neuralbox._resources.files import Files
from neuralbox._resources.generate import Generate
from neuralbox._resources.generations import Generations
from neuralbox._resources.history import History
from neuralbox._resources.images import Images
from neuralbox._resources.keys import Keys
from neuralbox._resources.models import Models
from neuralbox._resources.music import Music
from neuralbox._resources.speech import Speech
from neuralbox._resources.text import Text
from neuralbox._resources.tools import Tools
from neuralbox._resources.transcriptions import Transcriptions
from neuralbox._resources.videos import Videos
from neuralbox._types import JobRef
from tests.helpers import make_core, reply

pytestmark = pytest.mark.anyio


async def refused(call: Callable[[Core], Any], dialect: Dialect | None = None) -> str:
    """Make the call, see that nothing was even prepared, and return what the error says."""
    bench = make_core([], dialect=dialect or Dialect())
    with pytest.raises(errors.ConfigurationError) as caught:
        await call(bench.core)
    assert bench.transport.prepared == []
    return caught.value.message


def turns(*messages: Any) -> Callable[[Core], Any]:
    return lambda core: Text(core).create(model="gpt-5", messages=list(messages))


def bought_once(**given: Any) -> Callable[[Core], Any]:
    return lambda core: Videos(core).submit(model="m", prompt="x", **{"journal": "jobs.sqlite", "key": "k", **given})


def exported(core: Core, **given: Any) -> Any:
    return History(core).export("history.csv", **given)


CALLS: list[tuple[Callable[[Core], Any], str]] = [
    # Prompts and models.
    (lambda core: Generate(core).create(model="gpt-5", prompt=""), "`prompt` is empty"),
    (lambda core: Generate(core).submit(model="gpt-5", prompt=" \n"), "`prompt` is empty"),
    (lambda core: Generate(core).create(model="", prompt="x"), "`model` is empty"),
    (lambda core: Generate(core).create(model=None, prompt="x"), "`model` must be text"),  # type: ignore[arg-type]
    (lambda core: Generate(core).create(model="gpt-5", prompt="x", params=[1]), "`params` must be a mapping, not list"),  # type: ignore[arg-type]
    *(
        (lambda core, jobs=jobs: Generations(core).wait(jobs), "Pass the ids as a list: [")
        for jobs in ("18500", b"18500", 18500, None, JobRef(18500), Generation.read({"id": 18500}))
    ),
    (lambda core: Text(core).create(model="gpt-5", prompt=""), "`prompt` is empty"),
    (lambda core: Text(core).create(model="gpt-5"), "Pass `prompt` or `messages`"),
    (lambda core: Text(core).create(prompt="x"), "Pass `model`, or `assistant_id`"),
    (lambda core: Text(core).create(assistant_id="", prompt="x"), "`assistant_id` is empty"),
    (lambda core: Images(core).create(model="dall-e-3", prompt=""), "`prompt` is empty"),
    (lambda core: Images(core).submit(model=" ", prompt="x"), "`model` is empty"),
    (lambda core: Videos(core).submit(model="kling-v2.1", prompt=""), "`prompt` is empty"),
    (lambda core: Videos(core).create(model="kling-v2.1", prompt=b"x"), "`prompt` must be text, not bytes"),  # type: ignore[arg-type]
    (lambda core: Music(core).create(model="musicgen", prompt=""), "`prompt` is empty"),
    (lambda core: Music(core).submit(model="musicgen", prompt=""), "`prompt` is empty"),
    (lambda core: Speech(core).create(model="openai-tts", text=""), "`text` is empty"),
    (lambda core: Tools(core).create(model=""), "`model` is empty"),
    (lambda core: Tools(core).submit(model="upscale", prompt=""), "`prompt` is empty"),
    # Numbers.
    (lambda core: Text(core).create(model="gpt-5", prompt="x", temperature=2.1), "from 0 to 2; it is 2.1"),
    (lambda core: Text(core).create(model="gpt-5", prompt="x", temperature=-0.1), "from 0 to 2"),
    (lambda core: Text(core).create(model="gpt-5", prompt="x", temperature=float("nan")), "from 0 to 2"),
    (lambda core: Text(core).create(model="gpt-5", prompt="x", temperature="hot"), "from 0 to 2"),  # type: ignore[call-overload]
    (lambda core: Text(core).create(model="gpt-5", prompt="x", max_tokens=0), "`max_tokens` must be"),
    (lambda core: Speech(core).create(model="openai-tts", text="x", speed=0.4), "from 0.5 to 2"),
    (lambda core: Music(core).create(model="musicgen", prompt="x", duration=14), "from 15 to 120"),
    (lambda core: Music(core).submit(model="musicgen", prompt="x", duration=121), "from 15 to 120"),
    # The wait, which would otherwise be found wrong only when the job is paid for.
    (lambda core: Videos(core).create(model="m", prompt="x", wait_timeout="5"), "timeout must be a number"),  # type: ignore[arg-type]
    (lambda core: Images(core).create(model="m", prompt="x", wait_timeout=float("nan")), "timeout must be a number"),
    # Functions that would be called when it is paid for, or after the wait.
    *(
        (lambda core, call=call, wrong=wrong: call(core, on_accepted=wrong), "`on_accepted` must be a function, not ")
        for wrong in ("x", b"x")
        for call in (
            lambda core, **given: Images(core).create(model="m", prompt="x", **given),
            lambda core, **given: Images(core).submit(model="m", prompt="x", **given),
            lambda core, **given: bought_once(**given)(core),
            lambda core, **given: Text(core).stream(model="gpt-5", prompt="x", **given),
            lambda core, **given: Text(core).create(model="gpt-5", prompt="x", schema=int, **given),
        )
    ),
    (lambda core: Job(core, JobRef(1)).wait(on_progress=5), "`on_progress` must be a function, not int"),  # type: ignore[arg-type]
    (lambda core: Generations(core).wait([1], on_progress=[]), "`on_progress` must be a function, not list"),  # type: ignore[arg-type]
    (lambda core: Files(core).download("https://files.test/a.png", "out/", on_progress=5), "`on_progress` must be a "),  # type: ignore[arg-type]
    # Messages.
    (turns(), "`messages` is empty"),
    (lambda core: Text(core).create(model="gpt-5", messages="Hi"), "`messages` must be a list"),  # type: ignore[arg-type]
    (turns("Hi"), r"`messages[0]` must be a mapping"),
    (turns({"role": "user", "content": "x"}, {"role": "robot", "content": "x"}), "`messages[1].role` must be one of"),
    (turns({"content": "x"}), "`messages[0].role` must be one of assistant, system, user"),
    (turns({"role": "user", "content": ""}), "`messages[0].content` is empty"),
    (turns({"role": "user"}), "must be text or a list of parts"),
    (turns({"role": "user", "content": []}), "must be text or a list of parts"),
    (turns({"role": "user", "content": ["x"]}), "must be a mapping with a `type`"),
    # Ids and names.
    (lambda core: Generations(core).get(""), "A generation's id is"),
    (lambda core: Generations(core).get(None), "A generation's id is"),  # type: ignore[arg-type]
    (lambda core: History(core).delete(""), "A generation's id is"),
    (lambda core: History(core).delete(".."), "A generation's id is"),  # `DELETE /user/history/..` would be `/user`
    (lambda core: Account(core).update(avatar_url=Path("me.png")), "`avatar_url` is a file"),  # type: ignore[arg-type]
    (lambda core: History(core).favorite(" "), "A generation's id is"),
    (lambda core: History(core).rate(generation_id=True, rating=5), "A generation's id is"),
    (lambda core: Models(core).get(" "), "`slug` is empty"),
    (lambda core: Models(core).price(""), "`slug` is empty"),
    (lambda core: Models(core).price(".."), "names nothing"),
    (lambda core: Keys(core).revoke(".."), "names nothing"),
    (lambda core: Keys(core).revoke(""), "names nothing"),
    (lambda core: Keys(core).create(name=""), "`name` is empty"),
    (lambda core: Keys(core).rename(1, name=" "), "`name` is empty"),
    (lambda core: Assistants(core).create(name=""), "`name` is empty"),
    # Paging.
    *(
        (lambda core, page=page: History(core).list(page=page), "`page` must be a whole number from 1; it is ")
        for page in (0, None, "1", 1.5, True)
    ),
    *(
        (lambda core, size=size: History(core).list(page_size=size), "`page_size` must be a whole number from 1 to 100")
        for size in (0, 101, None, "")
    ),
    *(
        (lambda core, most=most: History(core).list(max_items=most), "`max_items` must be a whole number from 0")
        for most in (-1, "", 2.5)
    ),
    (lambda core: History(core).list(prefetch=None), "`prefetch` must be a whole number of pages from 0 to 16"),  # type: ignore[arg-type]
    # Files and directories.
    (lambda core: History(core).archive(""), "`directory` is ''"),
    (lambda core: History(core).archive("\ud800"), "cannot be the name of a file or directory"),
    (lambda core: History(core).archive(b"mirror"), "`directory` must be a path"),  # type: ignore[arg-type]
    (lambda core: History(core).archive("mirror", plan=5), "`plan` must be one of free"),  # type: ignore[arg-type]
    (lambda core: History(core).archive("mirror", concurrency="8"), "`concurrency` must be a whole number"),  # type: ignore[arg-type]
    (lambda core: History(core).archive("mirror", max_bytes=0), "`max_bytes` must be a whole number from 1"),
    (lambda core: History(core).export(5), "The target must be a path"),  # type: ignore[arg-type]
    *(
        (
            lambda core, name=name: exported(core, **{name: "skip"}),
            f"`{name}` must be True or False",
        )
        for name in ("overwrite", "append", "escape_formulas")
    ),
    (lambda core: Files(core).download("https://files.test/a.png", "out/", plan=5), "`plan` must be a str, not int"),  # type: ignore[arg-type]
    # Journals.
    (bought_once(journal=5), "`journal` must be a path"),
    (bought_once(key=[]), "A key is text, not list"),
    # What is no mapping.
    (lambda core: Auth(core).telegram(5), "`data` must be a mapping, not int"),  # type: ignore[arg-type]
    # The call's own options.
    (lambda core: Account(core).balance(timeout=0), "timeout must be a number of seconds above 0"),
    (lambda core: Account(core).balance(timeout=-1), "timeout must be a number of seconds above 0"),
    (lambda core: Account(core).balance(extra_query={5: "x"}), "extra_query must have text for its names"),  # type: ignore[dict-item]
    (lambda core: Generate(core).create(model="m", prompt="x", params={"a": object()}), "cannot be written as JSON"),
]


@pytest.mark.parametrize(("call", "said"), CALLS)
async def test_one_clear_error_and_nothing_is_sent(call: Callable[[Core], Any], said: str) -> None:
    assert said in await refused(call)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ],
)
async def test_turns_that_have_no_nested_form_say_so(message: Any) -> None:
    said = await refused(turns(message), Dialect(options="nested"))
    assert "In the nested form the last message becomes the prompt" in said


async def test_an_empty_prompt_beside_turns_is_refused_in_both_forms() -> None:
    for dialect in (Dialect(), Dialect(options="nested")):
        said = await refused(
            lambda core: Text(core).create(model="m", prompt="", messages=[{"role": "user", "content": "x"}]), dialect
        )
        assert "`prompt` is empty" in said


# Recordings.


def transcribe(audio: Any, **more: Any) -> Callable[[Core], Any]:
    return lambda core: Transcriptions(core).create(audio=audio, **more)


async def test_a_recording_that_is_not_there() -> None:
    said = await refused(transcribe("/nowhere/talk.mp3"))
    assert "'/nowhere/talk.mp3' cannot be read: No such file" in said
    assert "cannot be read" in await refused(transcribe("a\0b.mp3"))
    assert "cannot be read" in await refused(transcribe(""))


async def test_a_recording_that_is_a_folder(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in await refused(transcribe(tmp_path))


async def test_a_recording_that_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.touch()
    assert "'talk.mp3' is empty" in await refused(transcribe(path))
    assert "'talk.mp3' is empty" in await refused(transcribe(b"", file_name="talk.mp3"))
    assert "'talk.mp3' is empty" in await refused(transcribe(io.BytesIO(), file_name="talk.mp3"))


async def test_a_recording_that_is_too_large_is_not_even_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 10 * MAX_UPLOAD_BYTES)
    assert f"takes at most {MAX_UPLOAD_BYTES}" in await refused(transcribe(path))
    with path.open("rb") as file:
        assert f"takes at most {MAX_UPLOAD_BYTES}" in await refused(transcribe(file))
        assert file.tell() <= 2 * MAX_UPLOAD_BYTES
    assert "takes at most" in await refused(transcribe(bytes(MAX_UPLOAD_BYTES + 1), file_name="a.wav"))


async def test_a_recording_of_the_largest_size_is_taken() -> None:
    bench = make_core([reply(200, {"id": 1, "status": "completed", "result_text": ""})])
    await Transcriptions(bench.core).create(audio=bytes(MAX_UPLOAD_BYTES), file_name="a.wav")
    assert len(bench.sent) == 1


async def test_a_recording_opened_as_text(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_text("ID3")
    with path.open() as text:
        assert (await refused(transcribe(text))).endswith("or a file opened in binary mode ('rb').")
    with tempfile.NamedTemporaryFile("w+", suffix=".mp3") as text:
        text.write("ID3")
        text.seek(0)
        assert "binary mode ('rb')" in await refused(transcribe(text))
    assert "binary mode ('rb')" in await refused(transcribe(io.StringIO("ID3"), file_name="talk.mp3"))


async def test_a_recording_that_cannot_be_read_any_more(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"ID3")
    with path.open("rb") as file:
        pass
    assert "'talk.mp3' cannot be read: read of closed file" in await refused(transcribe(file))
    with path.open("ab") as end:
        assert "'talk.mp3' cannot be read: " in await refused(transcribe(end))


async def test_a_recording_without_a_name() -> None:
    assert "pass `file_name`" in await refused(transcribe(b"ID3"))
    assert "pass `file_name`" in await refused(transcribe(io.BytesIO(b"ID3")))
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: ASYNC230, PTH123 - a descriptor, whose file is named by its number
        assert "pass `file_name`" in await refused(transcribe(file))


@pytest.mark.parametrize("audio", [None, 5, ["talk.mp3"], bytearray(b"ID3")])
async def test_a_recording_that_is_none(audio: object) -> None:
    assert "must be a path, bytes, or a file" in await refused(transcribe(audio))


async def test_what_is_said_about_a_recording_is_checked() -> None:
    assert "`model` is empty" in await refused(transcribe(b"x", file_name="a.mp3", model=""))
    assert "`language` is empty" in await refused(transcribe(b"x", file_name="a.mp3", language=""))


async def test_a_recording_comes_from_a_path_or_an_open_file_and_the_file_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    path.write_bytes(b"0123456789")
    bench = make_core([reply(200, {"id": 1, "status": "completed"})] * 3)
    transcriptions = Transcriptions(bench.core)
    await transcriptions.create(audio=str(path))
    with path.open("rb") as file:
        file.seek(4)
        await transcriptions.create(audio=file)
        assert not file.closed
    await transcriptions.create(audio=path, file_name="other.flac")
    files = [file for sent in bench.sent if sent.form for file in sent.form.files]
    assert [(file.file_name, file.content_type, file.content) for file in files] == [
        ("talk.ogg", "audio/ogg", b"0123456789"),
        ("talk.ogg", "audio/ogg", b"456789"),
        ("other.flac", "audio/flac", b"0123456789"),
    ]


async def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    bench = make_core([reply(200, {"id": 1, "status": "completed"})])
    with open(reading, "rb", buffering=0) as pipe:  # noqa: ASYNC230, PTH123 - an unbuffered end of a pipe
        os.write(writing, b"first ")

        class Slow:
            """Returns what there is, as a pipe does, and the rest comes later."""

            name = "talk.mp3"

            def read(self, size: int) -> bytes:
                piece = pipe.read(size)
                if piece == b"first ":
                    os.write(writing, b"second")
                    os.close(writing)
                return piece

        await Transcriptions(bench.core).create(audio=Slow())  # type: ignore[arg-type]
    assert bench.sent[0].form is not None
    assert bench.sent[0].form.files[0].content == b"first second"
