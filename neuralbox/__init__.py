"""neuralbox: the Python SDK for the NeuralBox API.

async with AsyncNeuralBox() as nb:
    job = await nb.videos.submit(model="kling-v2.1", prompt="A paper boat on a river")
    video = await job.wait()
    path = await nb.files.download(video, "out/")
"""

from __future__ import annotations

import importlib
import typing

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
    SchemaMismatchError,
    StreamInterruptedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
    WebhookError,
)
from ._types import OMIT, GenerationId, JobRef, Omit
from ._version import __version__

if typing.TYPE_CHECKING:
    from ._api.builders import Message
    from ._api.stream_events import (
        ContentDelta,
        GenerationEnd,
        GenerationStart,
        StreamDone,
        StreamEvent,
        StreamFailure,
        UnknownEvent,
    )
    from ._archive.results import ArchiveFailure, ArchiveProgress, ArchiveResult, ExportResult
    from ._archive.summary import HistorySummary, SummaryRow
    from ._batch.batch import Batch
    from ._batch.outcome import BatchEstimate, BatchOutcome
    from ._batch.outcome_lines import write_outcomes
    from ._batch.progress import BatchProgress
    from ._budget import Budget
    from ._client import AsyncNeuralBox
    from ._config import CallArgs, Dialect, Polling, Timeout
    from ._core.credentials import Session
    from ._hooks import (
        CallInfo,
        EndEvent,
        FailureEvent,
        Hooks,
        RequestEvent,
        ResponseEvent,
        RetryEvent,
        SubmissionEvent,
    )
    from ._merged_history import MergedHistory, history_of
    from ._models.account import AccountLimits, ApiKeyInfo, Balance, KindStats, LimitWindow, Login, Stats, User
    from ._models.catalogue import Assistant, ModelInfo, Price
    from ._models.generation import Generation, Usage
    from ._models.page import Page
    from ._models.raw import RawResponse
    from ._paging import Pager
    from ._polling.job import Job
    from ._requests.image_part import image_part
    from ._requests.json_lines import read_requests, request_from_dict
    from ._requests.requests import (
        BatchRequest,
        GenerateRequest,
        ImageRequest,
        MusicRequest,
        SpeechRequest,
        TextRequest,
        ToolRequest,
        TranscriptionRequest,
        VideoRequest,
    )
    from ._result_cache import ResultCache
    from ._submissions.pending import UnresolvedSubmission
    from ._submissions.reconcile import Adopted, Reconciliation
    from ._text_stream.stream import TextStream
    from ._transport import Limits
    from .geminigen import AsyncGeminiGen
    from .sync import GeminiGen, NeuralBox

__all__ = [
    "OMIT",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AccountLimits",
    "Adopted",
    "ApiKeyInfo",
    "ArchiveFailure",
    "ArchiveProgress",
    "ArchiveResult",
    "Assistant",
    "AsyncGeminiGen",
    "AsyncNeuralBox",
    "AuthenticationError",
    "BadRequestError",
    "Balance",
    "Batch",
    "BatchEstimate",
    "BatchOutcome",
    "BatchProgress",
    "BatchRequest",
    "Budget",
    "BudgetExceededError",
    "CallArgs",
    "CallInfo",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLostError",
    "ContentDelta",
    "Dialect",
    "DownloadError",
    "EndEvent",
    "ExpiredFileError",
    "ExportResult",
    "FailureEvent",
    "GeminiGen",
    "GenerateRequest",
    "Generation",
    "GenerationEnd",
    "GenerationError",
    "GenerationFailedError",
    "GenerationId",
    "GenerationStart",
    "GenerationTimeoutError",
    "HistorySummary",
    "Hooks",
    "ImageRequest",
    "InsufficientTokensError",
    "InternalServerError",
    "Job",
    "JobRef",
    "JournalError",
    "KindStats",
    "LimitWindow",
    "Limits",
    "Login",
    "MergedHistory",
    "Message",
    "ModelInfo",
    "ModelUnavailableError",
    "MusicRequest",
    "NeuralBox",
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
    "Reconciliation",
    "RequestEvent",
    "ResponseEvent",
    "ResultCache",
    "RetryEvent",
    "SchemaMismatchError",
    "Session",
    "SpeechRequest",
    "Stats",
    "StreamDone",
    "StreamEvent",
    "StreamFailure",
    "StreamInterruptedError",
    "SubmissionEvent",
    "SubmissionUnknownError",
    "SummaryRow",
    "TextRequest",
    "TextStream",
    "Timeout",
    "ToolRequest",
    "TranscriptionRequest",
    "UnknownEvent",
    "UnprocessableEntityError",
    "UnresolvedSubmission",
    "Usage",
    "User",
    "VideoRequest",
    "WebhookError",
    "__version__",
    "history_of",
    "image_part",
    "read_requests",
    "request_from_dict",
    "write_outcomes",
]

# Imported at their first use: what only catches an error, or prints a help text, loads neither httpx nor pydantic.
_HOMES = {
    "._api.builders": ("Message",),
    "._api.stream_events": (
        "ContentDelta",
        "GenerationEnd",
        "GenerationStart",
        "StreamDone",
        "StreamEvent",
        "StreamFailure",
        "UnknownEvent",
    ),
    "._archive.results": ("ArchiveFailure", "ArchiveProgress", "ArchiveResult", "ExportResult"),
    "._archive.summary": ("HistorySummary", "SummaryRow"),
    "._merged_history": ("MergedHistory", "history_of"),
    "._batch.outcome": ("BatchEstimate", "BatchOutcome"),
    "._batch.outcome_lines": ("write_outcomes",),
    "._batch.progress": ("BatchProgress",),
    "._requests.image_part": ("image_part",),
    "._requests.json_lines": ("read_requests", "request_from_dict"),
    "._requests.requests": (
        "BatchRequest",
        "GenerateRequest",
        "ImageRequest",
        "MusicRequest",
        "SpeechRequest",
        "TextRequest",
        "ToolRequest",
        "TranscriptionRequest",
        "VideoRequest",
    ),
    "._batch.batch": ("Batch",),
    "._budget": ("Budget",),
    "._submissions.reconcile": ("Adopted", "Reconciliation"),
    "._submissions.registry": ("UnresolvedSubmission",),
    "._client": ("AsyncNeuralBox",),
    "._config": ("CallArgs", "Dialect", "Polling", "Timeout"),
    "._core.credentials": ("Session",),
    "._hooks": (
        "CallInfo",
        "EndEvent",
        "FailureEvent",
        "Hooks",
        "RequestEvent",
        "ResponseEvent",
        "RetryEvent",
        "SubmissionEvent",
    ),
    "._polling.job": ("Job",),
    "._result_cache": ("ResultCache",),
    "._text_stream.stream": ("TextStream",),
    "._models.account": (
        "AccountLimits",
        "ApiKeyInfo",
        "Balance",
        "KindStats",
        "LimitWindow",
        "Login",
        "Stats",
        "User",
    ),
    "._models.catalogue": ("Assistant", "ModelInfo", "Price"),
    "._models.generation": ("Generation", "Usage"),
    "._models.page": ("Page",),
    "._models.raw": ("RawResponse",),
    "._paging": ("Pager",),
    "._transport": ("Limits",),
    ".geminigen": ("AsyncGeminiGen",),
    ".sync": ("GeminiGen", "NeuralBox"),
}
_LATER = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> typing.Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
