"""The other service's history from the command line."""

from __future__ import annotations

from pathlib import Path

from .conftest import Box, Left


def test_the_history_of_geminigen_is_listed_shown_and_mirrored(box: Box) -> None:
    def ask(*arguments: str | Path) -> Left:
        return box(
            "geminigen", *arguments, GEMINIGEN_API_KEY=box.key, GEMINIGEN_BASE_URL=box.server.url, NEURALBOX_API_KEY=""
        )

    assert ask("history").err == "Nothing found.\n"
    box("generate", "flux-1.1-pro", "A lighthouse")
    [row] = ask("history", "--filter", "image").lines
    uuid, status, *_ = row.split("\t")
    assert status == "completed"
    [record] = ask("history", "--json").records
    assert record["uuid"] == uuid
    assert "raw" not in record
    left = ask("get", uuid)
    assert left.code == 0
    assert f"id          {uuid}" in left.lines
    left = ask("get", uuid, "-o", "it.jpg", "--json")
    assert left.records[0]["path"] == "it.jpg"
    assert Path("it.jpg").stat().st_size
    Path("file").write_text("in the way")
    places = ("--to", ".", "--name-by", "file/{id}")
    left = ask("get", uuid, *places, "--json")
    assert left.code == 2
    assert left.records[0]["not_saved"] == "`file` is not a directory, so nothing can be put into it."
    left = ask("archive", "mirror")
    assert left.code == 0
    assert Path("mirror/manifest.jsonl").exists()
    assert "1 saved" in left.err
    box.sandbox.faults.set("fail-generation", 1.0)
    box("generate", "kling-v2.1", "A boat")
    failed = ask("history", "--filter", "failed").lines[0].split("\t")[0]
    assert ask("get", failed, "--to", "out").code == 7
    left = ask("get", "unknown")
    assert left.code == 6
    assert left.sentence.endswith("GEMINIGEN_BASE_URL. `neuralbox geminigen history` lists what there is.")
