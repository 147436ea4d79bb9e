"""Turn documentation of the async side into that of the blocking one, its examples included.

Most rules are about sentences on tasks and event loops: their replacements say what is true for a blocking program.
A test holds that every rule is used and that no word of the async side is left.
"""

from __future__ import annotations

import re

# Patterns and their replacements, in the order in which they are applied. A blank also matches a line end: text is
# wrapped, and wrapped again afterwards.
RULES: tuple[tuple[str, str], ...] = (
    # The client.
    (r"The NeuralBox API, asynchronously, on asyncio and trio\.", "The NeuralBox API in blocking calls."),
    (
        r"any number of tasks, and several event loops .*? It starts no task and no thread\.",
        (
            "any number of threads, where an event loop is running (a notebook) and in forked children too. All clients of "
            "a process share one background thread, which the first call starts; callbacks run in the thread that made "
            "the call. Ctrl-C cancels the call, and the client stays usable."
        ),
    ),
    (r"GeminiGen, asynchronously, on asyncio and trio\.", "GeminiGen in blocking calls."),
    (
        r"any number of tasks and event loops; it starts no task and no thread\.",
        "any number of threads, as `NeuralBox` does.",
    ),
    (r" \(asyncio only\)", ""),
    # Listings: awaiting one gives its first page.
    (r"; awaiting the pager does the same", ""),
    (r"A `Pager`: await it for the first page,", "A `Pager`: call `first_page()` for the first page,"),
    (r"await (nb\.history\.list\([^()]*\))", r"\1.first_page()"),
    # Waiting.
    (r"Called in this task with", "Called in the calling thread with"),
    (r"; may be a coroutine function", "; it runs in the calling thread"),
    (r"without a task for each", "without a thread for each"),
    (r"; a plain or an async function, which a cancellation does not interrupt\.", "; it runs in the calling thread."),
    # Batches.
    (r"from any iterable or async iterable, read", "from any iterable, read"),
    (
        r"A plain iterable is advanced on the event loop: let one that waits .*? be an async one\.",
        "The iterable is advanced in the calling thread, while that waits for an outcome.",
    ),
    (
        r"The tasks of the run belong to none of yours: .*? than entered it\. Every task and connection of the run has ended",
        "Everything the run began has ended",
    ),
    (r"Every task and connection of the run has ended", "Everything the run began has ended"),
    (r"Leaving early without a cancellation waits", "Leaving early by other ways waits"),
    (r"a cancelled one that may", "an interrupted one that may"),
    (r"Those of cancelled calls", "Those of interrupted calls"),
    # Downloads.
    (r"when the call is cancelled or fails", "when the call is interrupted or fails"),
    # Streams.
    (r"The text delivered so far\.", "The text read so far; it may be ahead of what was delivered."),
    (
        r"both read the same stream, so a loop may be left and another go on where it stopped\. One task reads at a time\.",
        (
            "both read the same stream, so use one of them. A loop over the pieces may be left and another go on where "
            "it stopped. One thread reads at a time."
        ),
    ),
    (r" A read that goes on after a cancelled one asks for the rest as after a break\.", ""),
    # What a cancelled task leaves behind is what Ctrl-C leaves behind.
    (r"(?m)^Cancellation:$", "Ctrl-C:"),
    # Syntax and names.
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait (?=[\w(])", ""),
    (r"\bAsyncNeuralBox\b", "NeuralBox"),
    (r"\bAsyncGeminiGen\b", "GeminiGen"),
)

# The first line of an entry in a section: `name: what it is`.
_ENTRY = re.compile(r"\s+\*{0,2}\w+: ")


def translate(text: str) -> str:
    """Turn a docstring of the async side into that of the blocking side."""
    for pattern, replacement in RULES:
        text = re.sub(pattern.replace(" ", r"\s+"), replacement, text, flags=re.DOTALL)
    return _aligned(text)


def without_section(text: str, name: str) -> str:
    """Leave out a Google-style section, such as `Args`."""
    return re.sub(rf"(?m)^{name}:\n(?:(?: .*)?\n)*(?=\S|\Z)", "", f"{text}\n").strip()


def _aligned(text: str) -> str:
    """Bring the comments of consecutive lines of an example under one another again."""
    lines, block = text.split("\n"), list[int]()
    for index, line in enumerate([*lines, ""]):
        if re.match(r" {4,}\S.*\S {2,}# ", line):
            block.append(index)
            continue
        if block:
            parts = [lines[number].partition("  # ") for number in block]
            width = max(len(code.rstrip()) for code, _, _ in parts)
            for number, (code, _, comment) in zip(block, parts, strict=True):
                lines[number] = f"{code.rstrip():{width}}  # {comment}"
        block = []
    return "\n".join(lines)


def spilled(text: str, width: int) -> str:
    """Wrap what translation has made longer than a line; the rest of a paragraph takes what is left over."""
    lines, index = text.split("\n"), 0
    while index < len(lines):
        line = lines[index]
        cut = max(0, line.rfind(" ", 0, width + 1))
        if len(line) > width and line[:cut].strip():
            start = len(line) - len(line.lstrip())
            following = lines[index + 1] if index + 1 < len(lines) else ""
            indent = len(following) - len(following.lstrip())
            if following.strip() and indent in (start, start + 4) and not _ENTRY.match(following):
                lines[index + 1] = f"{' ' * indent}{line[cut + 1 :]} {following.lstrip()}"
            else:
                lines.insert(index + 1, f"{' ' * (start + 4 if _ENTRY.match(line) else start)}{line[cut + 1 :]}")
            lines[index] = line[:cut]
        index += 1
    return "\n".join(lines)
