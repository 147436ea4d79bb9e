"""The texts that the sandbox makes up: answers of language models and transcripts.

The same prompt always gets the same answer. An answer says that it is made up, so that nobody mistakes it for one. Asked
for JSON by a JSON Schema, it answers with a value that fits what the schema says of types, and as models do it: bare, in
a code fence, or with words around it. What a schema cannot say, such as a validator of a program's own, it may miss.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any, Final

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


def json_answer_to(asked: str, *, max_tokens: int | None = None) -> str | None:
    """Make up an answer in JSON, where that is asked for by a JSON Schema; else None.

    Args:
        asked: All that was said to the model.
        max_tokens: Most words, as of an answer in prose: what is cut off is no JSON any more.
    """
    schema = _schema_in(asked)
    if schema is None:
        return None
    rng = random.Random(hashlib.sha256(asked.encode()).digest())
    written = json.dumps(_Values(schema, rng).of(schema), ensure_ascii=False, indent=rng.choice((None, 2)))
    text = rng.choice(("{}", "```json\n{}\n```", "Here is what you asked for (made up):\n\n{}\n")).format(written)
    return text if max_tokens is None else " ".join(text.split(" ")[:max_tokens])


def _schema_in(asked: str) -> dict[str, Any] | None:
    """Find the JSON Schema in what was said: the first object that says what it describes."""
    if "JSON" not in asked:
        return None
    decoder, start = json.JSONDecoder(), asked.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            break
        try:
            found, end = decoder.raw_decode(asked, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if found.keys() & {"type", "properties", "anyOf", "enum", "$ref", "$defs"}:
                return dict(found)
        start = asked.find("{", end)
    return None


class _Values:
    """Values that fit a JSON Schema, as far as its types, bounds and choices go."""

    _deepest: Final = 8  # a schema may describe itself

    def __init__(self, schema: Mapping[str, Any], rng: random.Random) -> None:
        self._definitions = schema.get("$defs", {})
        self._rng = rng

    def of(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        if "$ref" in schema:
            return self.of(self._definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), depth + 1)
        for choice in ("enum", "anyOf", "oneOf", "allOf"):
            if schema.get(choice):
                options = schema[choice]
                if choice == "enum":
                    return self._rng.choice(options)
                # Past some depth the option that ends it: null stands last where pydantic writes an optional.
                return self.of(options[-1] if depth > self._deepest else options[0], depth + 1)
        if "const" in schema:
            return schema["const"]
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kind == "object":
            return {name: self.of(one, depth + 1) for name, one in schema.get("properties", {}).items()}
        if kind == "array":
            few = 0 if depth > self._deepest else schema.get("minItems", min(2, schema.get("maxItems", 2)))
            return [self.of(schema.get("items", {}), depth + 1) for _ in range(few)]
        if kind in ("integer", "number"):
            low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            number = self._rng.randint(int(low), int(max(low, schema.get("maximum", low + 100))))
            return number if kind == "integer" else float(number)
        if kind == "boolean":
            return self._rng.random() < 0.5
        return None if kind == "null" else self._text(schema)

    def _text(self, schema: Mapping[str, Any]) -> str:
        known = _OF_FORMAT.get(schema.get("format", ""))
        if known is not None:
            return known
        text = f"made up: {self._rng.choice(_SENTENCES)}"
        return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), ".")


_MOST_OBJECTS: Final = 50
_OF_FORMAT: Final = {
    "date": "2026-03-08",
    "date-time": "2026-03-08T12:00:00Z",
    "time": "12:00:00Z",
    "uri": "https://example.com/made-up",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "made-up@example.com",
}


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
