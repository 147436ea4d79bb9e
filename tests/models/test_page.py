"""A page: a sequence of items that knows whether another may follow."""

from __future__ import annotations

import pytest

from neuralbox._models.page import Page


@pytest.mark.parametrize(
    ("items", "page", "pages", "expected"),
    [
        ([1], 1, 2, True),
        ([1], 2, 2, False),
        ([1], 3, 2, False),
        ([1], 1, None, True),
        ([], 1, None, False),
        ([], 1, 2, False),
    ],
)
def test_another_page_may_follow(items: list[int], page: int, pages: int | None, expected: bool) -> None:
    assert Page(items, page, 20, pages=pages).has_next is expected


def test_a_page_is_read_like_a_list_and_shows_no_raw_reply() -> None:
    page = Page(["a", "b"], 1, 2, 5, 3, {"items": [], "secret": "prompt"})
    assert list(page) == ["a", "b"]
    assert len(page) == 2
    assert "secret" not in repr(page)
