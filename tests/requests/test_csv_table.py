"""Tables of requests: as spreadsheets write them, and as they should not be."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from neuralbox import ConfigurationError, read_requests
from neuralbox._requests.csv_table import read_rows
from neuralbox._requests.json_lines import read_lines


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "requests.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read_as_a_spreadsheet_writes_it(mark: str, tmp_path: Path) -> None:
    rows = [
        ["\ufeffkey", "kind", "model", "prompt", "seed", "size"],
        ["007", "image", "flux-1.1-pro", '"A ""quiet"" harbour,\nwith; boats"', "7", ""],
        ["", "", "", "", "", ""],
        ["b", "image", "dall-e-3", "8", "", "1024x1024"],
    ]
    path = written(tmp_path, "\r\n".join(mark.join(row) for row in rows))
    first, second = read_requests(path)
    assert (first.key, first.to_dict()["prompt"], first.to_dict()["seed"]) == (
        "007",
        'A "quiet" harbour,\nwith; boats',
        7,
    )
    assert second.to_dict() == {
        "kind": "image",
        "key": "b",
        "model": "dall-e-3",
        "prompt": "8",
        "size": "1024x1024",
    }
    assert [line for line, _ in read_lines(path)] == [2, 5]


def test_options_of_any_model_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, 'model,prompt,params.size,params.n,extra_body\nx,Hi,1:1,3,"{""a"": 1}"\nx,Hi,TRUE,,\n')
    one, two = read_requests(path)
    assert one.to_dict()["params"] == {"size": "1:1", "n": 3}
    assert one.to_dict()["extra_body"] == {"a": 1}
    assert two.to_dict()["params"] == {"size": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it has no header"),
        ("key,prompt\n1,Hi\n", "it has no column `model`; its columns: key, prompt."),
        ("model,,prompt\n", "column 2 has no name in the header"),
        ("model,model\n", "two columns are called `model`"),
        (b"\xff\xfem\x00", "it is no table of UTF-8 text (bytes that are no UTF-8)"),
        ('"model\n', "it is no table of UTF-8 text (unexpected end of data)"),
    ],
)
def test_a_table_without_a_usable_header_is_refused(text: str | bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        list(read_requests(path))
    assert caught.value.message.startswith(f"{path}: ")
    assert said in caught.value.message


def test_a_long_cell_is_read_and_the_limit_of_other_tables_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit(1_000)
    try:
        rows = read_rows(written(tmp_path, f"model,prompt\nm,{'a' * 200_000}\nm,{'b' * (16 << 20)}c\n"))
        [(_, first)] = [next(rows)]
        assert isinstance(first, dict)
        assert len(first["prompt"]) == 200_000
        assert csv.field_size_limit() == 1_000
        assert [str(row) for _, row in rows] == [
            "this is no row of a table (field larger than field limit (16777216))."
        ]
        with pytest.raises(ConfigurationError, match="field larger than field limit"):
            list(read_rows(written(tmp_path, f"model,{'b' * (16 << 20)}c\n")))
        assert csv.field_size_limit() == 1_000
    finally:
        csv.field_size_limit(before)


def test_each_row_that_is_none_is_told_by_its_line(tmp_path: Path) -> None:
    text = 'kind,model,prompt,params,params.a\nimage,m,Hi,,,too many\ngenerate,m,Hi,5,1\nimage,m,"open\n'
    found = list(read_rows(written(tmp_path, text)))
    assert [line for line, _ in found] == [2, 3, 4]
    assert [str(row) for _, row in found] == [
        "the row has 6 cells and the header 5: a text with a comma stands in quotation marks.",
        "`params.a` and `params` are both given.",
        "this is no row of a table (unexpected end of data).",
    ]
    [(_, row)] = read_rows(written(tmp_path, "model,params.a,params\nm,1,{}\n"))
    assert str(row) == "`params` and a field of it are both given."
    [(_, found_one)] = read_lines(written(tmp_path, "kind,model\nimage,m\n"))
    assert str(found_one) == "`prompt` is missing: an image request needs it."
    [(_, bad)] = read_lines(written(tmp_path, "kind,model\nimage,m,1\n"))
    assert "the row has 3 cells" in str(bad)
    with pytest.raises(ConfigurationError, match="line 2: the row has 3 cells"):
        list(read_requests(written(tmp_path, "kind,model\nimage,m,1\n")))
