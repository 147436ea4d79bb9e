"""`image_part`: a picture as a part of a message, wherever it is."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from .._api.builders import ImageAddress, ImagePart
from .._api.checks import require_address
from .._api.media_types import image_type
from .._errors import ConfigurationError


class PillowPicture(Protocol):
    """What is needed of a `PIL.Image.Image`: a package of the caller's, which is not imported for its type."""

    format: str | None

    def save(self, _file: Any, _format: str | None = None, /) -> None: ...


ImageSource: TypeAlias = str | os.PathLike[str] | bytes | PillowPicture
"""An address, a path, the bytes of a picture, or a picture of Pillow's."""

# A picture in a message goes through memory several times, half as large again in base64; no document names a limit.
_MOST_BYTES: Final = 32 * 1024 * 1024
_KEPT_FORMATS: Final = frozenset({"GIF", "JPEG", "PNG", "WEBP"})


def image_part(source: ImageSource, *, detail: str | None = None) -> ImagePart:
    """Return a picture as a part of a message, for models that see.

        message = {"role": "user", "content": [image_part("harbour.jpg"), {"type": "text", "text": "What is this?"}]}

    An address is sent as it is. A path, bytes and a picture of Pillow's are read now and sent inside the message, as a
    `data:` address: that is what other services take, and **not documented** for this one, which may refuse it.

    Args:
        source: `https://…` or `data:…`, a path, the bytes of a file, or a `PIL.Image.Image` (sent in its own format, or as
            PNG). Text with `://` in it is an address, other text a path.
        detail: Passed on where a model reads it, such as `low`; undocumented.

    Raises:
        ConfigurationError: The file cannot be read, is no picture, is empty or has more than 32 MiB.

    Source:
        NeuralBox API, "Text Generation", vision (SEED 003): addresses only.
    """
    if isinstance(source, str) and ("://" in source or source.startswith("data:")):
        require_address("source", source)
        address = source
    else:
        address = _data_address(_content_of(source))
    picture: ImageAddress = {"url": address} if detail is None else {"url": address, "detail": detail}
    return {"type": "image_url", "image_url": picture}


def _content_of(source: ImageSource) -> bytes:
    if isinstance(source, bytes | bytearray):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            is_file = path.is_file() or not path.exists()  # a pipe may never answer
            with path.open("rb") if is_file else io.BytesIO() as file:
                content = file.read(_MOST_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a path no system has, with a zero byte in it
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigurationError(f"The picture {str(path)!r} cannot be read: {why}.") from error
        if not is_file:
            raise ConfigurationError(f"The picture {str(path)!r} is no file.")
        return content
    # By what it can do: Pillow is a package of the caller's, which is not imported to ask.
    save = getattr(source, "save", None)
    if save is None or not hasattr(source, "format"):
        raise ConfigurationError(
            "`image_part` takes an address, a path, the bytes of a picture or a PIL.Image.Image, not "
            f"{type(source).__name__}."
        )
    written = io.BytesIO()
    try:
        save(written, source.format if source.format in _KEPT_FORMATS else "PNG")
    except (OSError, ValueError) as error:  # a mode that no PNG has, or a file that was closed
        raise ConfigurationError(f"The picture cannot be written as a file: {error}.") from error
    return written.getvalue()


def _data_address(content: bytes) -> str:
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"The picture has more than {_MOST_BYTES} bytes; pass an address instead.")
    media_type = image_type(content)
    if media_type is None:
        raise ConfigurationError(
            "The picture is empty." if not content else "These bytes are no picture (PNG, JPEG, GIF, WebP, AVIF, HEIC)."
        )
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
