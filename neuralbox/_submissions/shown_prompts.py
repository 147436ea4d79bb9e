"""Learn from generations that are ours how the history shows a prompt, and compare others by that alone. Pure.

A service may show a prompt whole, with its blanks collapsed, escaped, in lower case, or cut at some length. Each way is
a rule; those that explain every control stay. An item is compared exactly under what they make of a claim's prompt: what
none of them explains is another request. A control that no rule explains vetoes them all, and nothing is learnt.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from .claim import PromptMatch, plain

_SUFFIXES: Final = ("…", "...", "")
"""How a cut prompt may end."""


def _cleaned(text: str) -> str:
    return plain("".join(character if character.isalnum() else " " for character in text))


RULES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "whole": str,
        "one blank": plain,
        "escaped": html.escape,
        "escaped, quotes left": lambda text: html.escape(text, quote=False),
        "escaped, decimal": lambda text: html.escape(text).replace("&#x27;", "&#39;"),
        "composed": lambda text: unicodedata.normalize("NFC", text),
        "compatible": lambda text: unicodedata.normalize("NFKC", text),
        "lower case": str.lower,
        "letters and digits": _cleaned,
    }
)
"""What a service may make of a prompt; blanks at its ends never count."""


@dataclass(frozen=True, slots=True)
class PromptRules:
    """The rules that explain every control.

    Attributes:
        names: Of `RULES`; empty where nothing is learnt.
        cut: After how many characters the history cuts a prompt, and what it puts there; None where none was cut.
        longest: The longest prompt that was shown uncut.
    """

    names: frozenset[str] = frozenset()
    cut: tuple[int, str] | None = None
    longest: int = 0

    @classmethod
    def learn(cls, controls: Iterable[tuple[str, str]]) -> PromptRules:
        """Learn from prompts of ours and what the history shows of them."""
        rules, count = cls(frozenset(RULES)), 0
        for prompt, shown in controls:
            rules, count = rules._with(prompt, shown.strip()), count + 1
            if not rules.names:
                return rules
        return rules if count else cls()

    def _with(self, prompt: str, shown: str) -> PromptRules:
        made = {name: RULES[name](prompt).strip() for name in self.names}
        whole = frozenset(name for name, text in made.items() if text == shown)
        longest = max(self.longest, len(shown)) if whole else self.longest
        cut = self.cut
        if not whole:
            ending = next(suffix for suffix in _SUFFIXES if shown.endswith(suffix))
            start = shown[: len(shown) - len(ending)]
            whole = frozenset(name for name, text in made.items() if start and text.startswith(start))
            if cut not in (None, (len(start), ending)):
                return PromptRules()
            cut = (len(start), ending)
        if cut is not None and longest > cut[0] + len(cut[1]):
            return PromptRules()
        return PromptRules(whole, cut, longest)

    def compare(self, prompt: str, shown: str) -> PromptMatch:
        """Compare a prompt of ours with what an item shows, `""` included; to be asked only where rules are learnt."""
        shown, made = shown.strip(), {RULES[name](prompt).strip() for name in self.names}
        texts = {self._cut(text) for text in made}
        if shown in texts:
            if len(texts) > 1:
                return PromptMatch.PERHAPS
            return PromptMatch.SAME if texts == made else PromptMatch.CUT
        is_longer_than_any = self.cut is None and len(shown) >= self.longest
        may_be_cut = is_longer_than_any and any(text.startswith(shown.rstrip("….")) for text in made)
        return PromptMatch.PERHAPS if may_be_cut or not shown else PromptMatch.OTHER

    def shown(self, prompt: str) -> str:
        """Return what the history shows of a prompt; the prompt itself where the rules do not agree."""
        texts = {self._cut(RULES[name](prompt).strip()) for name in self.names}
        return texts.pop() if len(texts) == 1 else prompt

    def _cut(self, text: str) -> str:
        if self.cut is None or len(text) <= self.cut[0] + len(self.cut[1]):
            return text
        return text[: self.cut[0]].strip() + self.cut[1]


NO_RULES: Final = PromptRules()
