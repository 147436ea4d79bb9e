"""Reading multipart forms, and the upload of speech to text, strictly."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..._api import vocabulary as words
from .._replies import bad_request, invalid


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to transcribe, and how."""

    audio: bytes
    filename: str
    model: str
    diarize: bool


class _MemoryUpload(MultiPartParser):
    """A parser that never rolls a part over to disk: the body is in memory already."""

    spool_max_size = 2 * words.MAX_UPLOAD_BYTES + 1024


async def read_upload(headers: Headers, body: bytes) -> Upload:
    """Read and check the form.

    Raises:
        Refusal: 400 for what is no form or lacks `audio`; 422 for a wrong type, too many bytes, or wrong fields.
    """
    form = await read_form(headers, body)
    try:
        return _check(form)
    finally:
        await form.close()


async def read_form(headers: Headers, body: bytes) -> FormData:
    """Read a form, into memory.

    Raises:
        Refusal: 400, it is none.
    """
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        raise bad_request("Send the file as multipart/form-data.")

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        return await _MemoryUpload(headers, whole()).parse()
    except (MultiPartException, KeyError) as error:  # starlette: KeyError where the boundary is missing
        raise bad_request("The form cannot be read.") from error


_TRUTHS: Final = {"true": True, "false": False}


def _check(form: FormData) -> Upload:
    file = form.get("audio")
    if file is None:
        raise bad_request("The file `audio` is missing.")
    if not isinstance(file, UploadFile):
        raise invalid({"audio": "must be a file"})
    complaints: dict[str, str] = {}
    audio, filename = file.file.read(), file.filename or ""
    ending = PurePosixPath(filename).suffix.lower().lstrip(".")
    if ending not in words.AUDIO_UPLOADS:
        complaints["audio"] = f"must be one of {', '.join(words.AUDIO_UPLOADS)}"
    elif not audio:
        complaints["audio"] = "must not be empty"
    elif len(audio) > words.MAX_UPLOAD_BYTES:
        complaints["audio"] = f"must have at most {words.MAX_UPLOAD_BYTES} bytes"
    fields = {name: form.get(name, default) for name, default in _DEFAULTS.items()}
    for name, value in fields.items():
        if not isinstance(value, str):
            complaints[name] = "must be text"
    diarize = str(fields["diarize"]).lower()
    if diarize not in _TRUTHS:
        complaints["diarize"] = "must be true or false"
    if complaints:
        raise invalid(complaints)
    return Upload(audio=audio, filename=filename, model=str(fields["model"]), diarize=_TRUTHS[diarize])


_DEFAULTS: Final = {"model": words.DEFAULT_TRANSCRIPTION_MODEL, "language": "", "diarize": "false"}
