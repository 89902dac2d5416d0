"""Bad lines through preprocess: each is named with its place, good rows do not notice, too many are an error."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from bad_lines import BAD, LONG
from file_trees import files
from trajectories import make_trajectories, to_line, to_text, write_raw

from pipelines.preprocess import preprocess
from poke_bc.contract.errors import InputError, UsageError
from poke_bc.verify import verify

RAWS = make_trajectories(30)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """Every bad line between good ones, the last longer than a block; and their line numbers from 1."""
    folder = tmp_path_factory.mktemp("spoilt")
    lines: list[bytes] = []
    bad: list[int] = []
    good = [to_line(raw) for raw in make_trajectories(60, most_steps=2)]
    for number, each in enumerate([*BAD.values(), None]):
        lines += [good[number], each.line if each else LONG * 3]
        bad.append(len(lines))
    (folder / "raw.jsonl").write_bytes(b"\n".join(lines))
    (folder / "clean.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[::2]))
    return folder / "raw.jsonl", bad


def test_every_bad_line_is_quarantined_with_file_line_byte_path_and_reason(
    spoilt: tuple[Path, list[int]], tmp_path: Path
) -> None:
    path, bad = spoilt
    manifest = preprocess(
        [path.with_name("clean.jsonl"), path], tmp_path, workers=1, max_bad=1, block_bytes=12_000
    ).manifest
    named = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_bytes().splitlines()]
    text = path.read_bytes()
    assert [each["line"] for each in named] == bad
    for each, expected in zip(named, BAD.values(), strict=False):
        assert each["file"] == str(path)
        assert text[each["byte"]:].startswith(expected.line + b"\n")
        assert each["path"] == expected.path
        assert expected.reason in each["reason"]
    assert text[named[-1]["byte"]:] == LONG * 3
    assert "longer than a block" in named[-1]["reason"]
    assert sum(manifest.counts.quarantined.values()) == len(bad)


@pytest.mark.parametrize("block_bytes", [6000, 12_000, 8 << 20])
def test_good_rows_are_byte_equal_to_those_of_the_file_without_the_bad_lines(
    spoilt: tuple[Path, list[int]], block_bytes: int, tmp_path: Path
) -> None:
    path, _ = spoilt
    shards = {name: preprocess([path.with_name(name)], tmp_path / name, workers=1, max_bad=1, block_bytes=block_bytes,
                               limit=len(BAD) + 1).manifest.shards for name in ("raw.jsonl", "clean.jsonl")}
    assert [shard.rows for shard in shards["raw.jsonl"]] == [shard.rows for shard in shards["clean.jsonl"]]


def test_too_many_bad_lines_are_an_error_and_no_data_set(spoilt: tuple[Path, list[int]], tmp_path: Path) -> None:
    path, bad = spoilt
    with pytest.raises(
        InputError, match=rf"{len(bad)} of {2 * len(bad)} lines are not trajectories.*--max-bad 0.4"
    ) as caught:
        preprocess([path], tmp_path / "out", workers=1, max_bad=0.4, block_bytes=12_000)
    assert str(tmp_path / "out" / "quarantine.jsonl") in caught.value.hint
    assert {name.split("/")[0] for name in files(tmp_path / "out")} == {".parts", "quarantine.jsonl"}
    assert len((tmp_path / "out" / "quarantine.jsonl").read_bytes().splitlines()) == len(bad)


def test_as_many_bad_lines_as_allowed_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(to_text(RAWS[:9]) + BAD["garbage"].line + b"\n")
    assert (
        preprocess([tmp_path / "raw.jsonl"], tmp_path / "out", workers=1, max_bad=0.1).manifest.counts.trajectories == 9
    )
    with pytest.raises(InputError, match="1 of 10 lines"):
        preprocess([tmp_path / "raw.jsonl"], tmp_path / "out", workers=1, max_bad=0.099)


def test_a_quarantine_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(to_text(RAWS[:9]) + BAD["garbage"].line)
    preprocess([tmp_path / "raw.jsonl"], tmp_path / "out", workers=1, max_bad=1)
    assert "quarantine.jsonl" in files(tmp_path / "out")
    preprocess([write_raw(tmp_path / "raw.jsonl", RAWS)], tmp_path / "out", workers=1)
    assert "quarantine.jsonl" not in files(tmp_path / "out")
    assert verify(tmp_path / "out").differences == []


@pytest.mark.parametrize("text", [b"", b"\n\n", b"\r\n  \n"])
def test_empty_input_is_an_error_and_leaves_nothing(text: bytes, tmp_path: Path) -> None:
    for name, content in (("raw.jsonl", text), ("raw.jsonl.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="empty, not one trajectory"):
            preprocess([tmp_path / name], tmp_path / "out", workers=1)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"max_bad": -0.1}, {"max_bad": 2}, {"max_bad": float("nan")}, {"limit": 0}]
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        preprocess([write_raw(tmp_path / "raw.jsonl", RAWS)], tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
