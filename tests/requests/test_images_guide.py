"""The guide's table of sizes, qualities and styles says what the vocabulary says."""

from __future__ import annotations

from pathlib import Path

from neuralbox._api import vocabulary as words

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "images.md"
COLUMNS = (words.IMAGE_SIZES, words.IMAGE_QUALITIES, words.IMAGE_STYLES)


def test_the_table_of_the_images_guide_is_that_of_the_vocabulary() -> None:
    rows = []
    for model in sorted({model for column in COLUMNS for model in column}):
        cells = [", ".join(f"`{word}`" for word in column.get(model, ())) for column in COLUMNS]
        rows.append(f"| `{model}` |" + "".join(f" {cell} |" if cell else " |" for cell in cells))
    table = "\n".join(("| model | `size` | `quality` | `style` |", "|---|---|---|---|", *rows, ""))
    assert table in GUIDE.read_text(encoding="utf-8")
    guide = GUIDE.read_text(encoding="utf-8")
    assert all(f"`{word}`" in guide for word in words.IMAGE_FORMATS)
