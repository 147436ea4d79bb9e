"""What a caller gave is refused in one sentence that names it."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from pathlib import PurePath
from typing import Any

import pytest

from neuralbox import ConfigurationError
from neuralbox._api.checks import (
    require_instance,
    require_one_of,
    require_path,
    require_plan,
    require_query,
    require_seconds,
    require_whole,
)


@pytest.mark.parametrize("value", [True, 0, -1, 1.0, "1", None])
def test_what_is_no_whole_number_from_one_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^limit must be a whole number from 1; it is "):
        require_whole("limit", value, lowest=1)


def test_a_whole_number_passes_and_what_is_counted_is_said() -> None:
    require_whole("limit", 1, lowest=1)
    with pytest.raises(ConfigurationError, match=r"^`budget` must be a whole number of tokens from 1; it is 0\.$"):
        require_whole("`budget`", 0, lowest=1, of="tokens")


@pytest.mark.parametrize("value", [-1, 17, "16", None])
def test_what_is_no_whole_number_between_two_bounds_is_refused(value: Any) -> None:
    require_whole("pages", 0, lowest=0, highest=16)
    require_whole("pages", 16, lowest=0, highest=16)
    with pytest.raises(ConfigurationError, match=r"^pages must be a whole number from 0 to 16; it is "):
        require_whole("pages", value, lowest=0, highest=16)


@pytest.mark.parametrize("value", ["gold", "", 5, [], b"pro"])
def test_a_plan_is_one_whose_retention_is_known(value: Any) -> None:
    require_plan("`plan`", None)
    require_plan("`plan`", " Pro")
    with pytest.raises(
        ConfigurationError, match=r"^`plan` must be one of free, starter, basic, pro, vip, elite; it is "
    ):
        require_plan("`plan`", value)


def test_a_query_has_names() -> None:
    require_query("params", {"page": 1})
    with pytest.raises(ConfigurationError, match=r"^params must be a Mapping, not str\.$"):
        require_query("params", "page=1")
    with pytest.raises(ConfigurationError, match=r"^params must have text for its names\.$"):
        require_query("params", {1: "page"})


@pytest.mark.parametrize("value", [False, 0, -0.5, nan, "5"])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"number of seconds above 0, or None for no limit"):
        require_seconds("timeout", value)


def test_no_limit_is_one_only_where_there_may_be_none() -> None:
    require_seconds("timeout", None)
    require_seconds("timeout", 0.5, optional=False)
    with pytest.raises(ConfigurationError, match=r"^timeout must be a number of seconds above 0; it is None\.$"):
        require_seconds("timeout", None, optional=False)


def test_a_word_and_a_type_have_to_be_the_right_ones() -> None:
    require_one_of("pace", "off", ("burst", "off"))
    require_instance("headers", {}, Mapping)
    with pytest.raises(ConfigurationError, match=r"^pace must be one of burst, off; it is 'on'\.$"):
        require_one_of("pace", "on", ("burst", "off"))
    with pytest.raises(ConfigurationError, match=r"^headers must be a Mapping, not str\.$"):
        require_instance("headers", "secret", Mapping)


class _OfBytes:
    def __fspath__(self) -> bytes:
        return b"out"


@pytest.mark.parametrize("value", [None, 5, b"out", [], _OfBytes()])
def test_a_path_is_text_or_stands_for_it(value: Any) -> None:
    require_path("`target`", "out")
    require_path("`target`", PurePath("out"))
    with pytest.raises(ConfigurationError, match=r"^`target` must be a path \(text or a `Path`\), not "):
        require_path("`target`", value)
