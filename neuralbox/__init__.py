"""neuralbox: the Python SDK for the NeuralBox API.

async with AsyncNeuralBox() as nb:
    job = await nb.videos.submit(model="kling-v2.1", prompt="A paper boat on a river")
    video = await job.wait()
    path = await nb.files.download(video, "out/")
"""

from __future__ import annotations

import importlib
import typing

from ._client import AsyncNeuralBox
from ._config import CallArgs, Dialect, Polling, Timeout
from ._credentials import Session
from ._errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DownloadError,
    ExpiredFileError,
    GenerationError,
    GenerationFailedError,
    GenerationTimeoutError,
    InsufficientTokensError,
    InternalServerError,
    JournalError,
    ModelUnavailableError,
    NeuralBoxError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitError,
    StreamInterruptedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
)
from ._jobs.handle import Job
from ._models.account import Balance, Key, Login, Share, Stats, User
from ._models.catalogue import Assistant, ModelInfo, Price
from ._models.generation import Generation, Usage
from ._models.page import Page
from ._models.raw import RawResponse
from ._paging import Pager
from ._transport import Limits
from ._types import OMIT, GenerationId, JobRef, Omit
from ._version import __version__

if typing.TYPE_CHECKING:
    from ._jobs.stream import TextStream

__all__ = [
    "OMIT",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "Assistant",
    "AsyncNeuralBox",
    "AuthenticationError",
    "BadRequestError",
    "Balance",
    "BudgetExceededError",
    "CallArgs",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLostError",
    "Dialect",
    "DownloadError",
    "ExpiredFileError",
    "Generation",
    "GenerationError",
    "GenerationFailedError",
    "GenerationId",
    "GenerationTimeoutError",
    "InsufficientTokensError",
    "InternalServerError",
    "Job",
    "JobRef",
    "JournalError",
    "Key",
    "Limits",
    "Login",
    "ModelInfo",
    "ModelUnavailableError",
    "NeuralBoxError",
    "NotFoundError",
    "Omit",
    "Page",
    "Pager",
    "PermissionDeniedError",
    "Polling",
    "Price",
    "ProtocolError",
    "ProviderError",
    "RateLimitError",
    "RawResponse",
    "Session",
    "Share",
    "Stats",
    "StreamInterruptedError",
    "SubmissionUnknownError",
    "TextStream",
    "Timeout",
    "UnprocessableEntityError",
    "Usage",
    "User",
    "__version__",
]

# What a program that does not use it should not pay for: imported at the first use.
_LATER = {"TextStream": "._jobs.stream"}


def __getattr__(name: str) -> typing.Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
