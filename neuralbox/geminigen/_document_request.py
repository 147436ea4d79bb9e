"""Requests for a document read aloud."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, ClassVar

from .._api import gemini_vocabulary as gemini
from .._api.builders import require_text
from .._api.gemini_vocabulary import DEFAULT_SPEECH_MODEL, AudioFormat
from .._api.request import Form, Request
from .._config import Dialect
from .._errors import ConfigurationError
from .._types import OMIT, Omit
from ._local_files import LocalSource, sources_of
from ._request import GeminiRequest, form_request, json_text, paths_in, require_speed, require_voices, with_files


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiDocumentRequest(GeminiRequest):
    """A document read aloud by GeminiGen.

    The history shows the document's name as its prompt. Its documents of 2026 do not list speech any more; it may have been
    withdrawn.

    Attributes:
        file: The document: a path, `(name, bytes)`, or an open binary file. Its name ends in docx, xlsx, pptx, pdf, epub, mobi,
            txt, html, odt, ods, odp, azw or azw3; it has at most 100 MB and 500,000 rows.
        voices: Who reads it: `[{"name": "Speaker", "voice": {"id": "GM013", "name": "Gacrux"}}]`.
        model: `tts-flash` (the service's default), `tts-pro`, or another slug.
        speed: 1 to 4, as for a text.
        output_format: `mp3` (the service's default) or `wav`.
        file_password: Opens the document. It is sent and kept nowhere, but for the journal of a batch, which keeps its requests.

    Source:
        GeminiGen, "Document To Speech" [gem:document], `POST /uapi/v1/document-to-speech`.
    """

    name: ClassVar[str] = "document"
    kind: ClassVar[str | None] = "audio"

    file: LocalSource = field(repr=False)
    voices: Sequence[Mapping[str, Any]]
    model: str = DEFAULT_SPEECH_MODEL
    speed: float | Omit = OMIT
    output_format: AudioFormat | str | Omit = OMIT
    file_password: str | Omit = field(default=OMIT, repr=False)

    @property
    def paths(self) -> Sequence[str | os.PathLike[str]]:
        """Return the local file that it names."""
        return paths_in(self.file)

    def build(self, dialect: Dialect) -> Request:  # noqa: ARG002 - there is one way to speak
        """Build what is sent, less the document; `ConfigurationError` names what cannot be right."""
        require_speed(self.speed, gemini.SPEECH_SPEEDS)
        if len(sources_of("file", self.file)) != 1:
            raise ConfigurationError(
                "`file` must be one document: a path, (name, bytes), or a file opened in binary mode ('rb')."
            )
        voices = json_text(require_voices(self.voices))
        request = form_request(
            gemini.DOCUMENT_SPEECH,
            {"model": require_text("model", self.model), "voices": voices, **self.given("speed", "output_format")},
        )
        if isinstance(self.file_password, Omit) or self.file_password is None:
            return request
        assert request.form is not None
        secrets = {"file_password": require_text("file_password", self.file_password)}
        return replace(request, form=Form(request.form.fields, secrets=secrets))

    async def prepare(self, dialect: Dialect) -> Request:
        """Build what is sent; the document is measured now."""
        request = await with_files(self.build(dialect), {"file": self.file})
        assert request.form is not None
        (document,) = request.form.files
        ending = PurePath(document.file_name).suffix.lower().removeprefix(".")
        if ending not in gemini.DOCUMENT_ENDINGS:
            raise ConfigurationError(
                f"The service reads no {document.file_name!r} aloud, only {', '.join(gemini.DOCUMENT_ENDINGS)}: where bytes are "
                "passed, pass (name, bytes). Source: [gem:document]."
            )
        if document.size > gemini.MAX_DOCUMENT_BYTES:
            raise ConfigurationError(
                f"The document {document.file_name!r} has {document.size:,} bytes; the service takes at most 100 MB. "
                "Source: [gem:document]."
            )
        return request
