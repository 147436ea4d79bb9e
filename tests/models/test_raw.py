"""A result with its HTTP reply: everything is there, and nothing of it shows by accident."""

from __future__ import annotations

import pytest

from neuralbox._errors import ProtocolError
from neuralbox._models.raw import RawResponse


def test_the_body_is_parsed_on_demand() -> None:
    assert RawResponse(200, {}, b'{"id": 1}', 1, None).json() == {"id": 1}


def test_a_body_that_is_no_json_is_one_clear_error() -> None:
    with pytest.raises(ProtocolError, match="200 with a web page"):
        RawResponse(200, {}, b"<html>", 1, None).json()


def test_neither_headers_nor_body_show_in_a_repr() -> None:
    shown = repr(RawResponse(200, {"set-cookie": "refresh=opaque"}, b"the prompt", 2, "the text"))
    assert shown == "RawResponse(status_code=200, attempts=2)"
