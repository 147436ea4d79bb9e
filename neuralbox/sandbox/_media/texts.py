"""The texts that the sandbox makes up: answers of language models and transcripts.

The same prompt always gets the same answer. An answer says that it is made up, so that nobody mistakes it for one.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

_SENTENCES: Final = (
    "The idea is simpler than its name.",
    "Start with the smallest case that still shows the problem.",
    "Two things matter here: what must be kept, and what may change.",
    "A careful reader will notice that the order of the steps is no accident.",
    "Measure first, then decide; most guesses about cost are wrong.",
    "In practice one exception is worth more than three rules.",
    "What looks like a detail decides whether the rest holds.",
    "If in doubt, write down what would have to be true and check it.",
    "There is a shorter way, but it hides the reason.",
    "Taken together this gives an answer that can be tested.",
)


def answer_to(prompt: str, *, max_tokens: int | None = None) -> str:
    """Make up an answer of some forty to eighty words; `max_tokens` bounds the words."""
    rng = random.Random(hashlib.sha256(prompt.encode()).digest())
    asked = " ".join(prompt.split())
    excerpt = asked if len(asked) <= 80 else asked[:79].rstrip() + "…"
    sentences = rng.sample(_SENTENCES, k=rng.randint(4, 7))
    text = f"A made-up answer to “{excerpt}”. {' '.join(sentences)}"
    return text if max_tokens is None else " ".join(text.split(" ")[:max_tokens])


def transcript_of(audio: bytes, *, diarize: bool) -> str:
    """Make up a transcript; with `diarize` the lines carry speakers' labels."""
    rng = random.Random(hashlib.sha256(audio).digest())
    lines = rng.sample(_SENTENCES, k=4)
    if not diarize:
        return " ".join(lines)
    return "\n".join(f"[Speaker {index % 2 + 1}]: {line}" for index, line in enumerate(lines))


def deltas_of(text: str) -> list[str]:
    """Cut a text into the pieces of a stream: words that keep their leading space."""
    head, *rest = text.split(" ")
    return [head, *(f" {word}" for word in rest)]


def count_tokens(text: str) -> int:
    """Return roughly what a language model would count; informational only."""
    return max(1, len(text) // 4)
