"""Inputs that are not JSONL of trajectories are named for what they are, and nothing waits for what never ends."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from file_trees import files
from hypothesis import given
from hypothesis import strategies as st
from trajectories import make_trajectories, to_line, to_text, write_raw

from pipelines.preprocess import preprocess
from pipelines.preprocess.beginnings import refuse_other_texts
from pipelines.split import split
from poke_bc.cli.checks import inspect_any
from poke_bc.contract.errors import InputError, PokeBCError, UsageError
from poke_bc.contract.manifest import Manifest

RAWS = make_trajectories(20)
BOM = b"\xef\xbb\xbf"
TEXTS = {
    "UTF-16": (to_text(RAWS).decode().encode("utf-16"), "UTF-16", "iconv"),
    "UTF-16 without a mark": (to_text(RAWS).decode().encode("utf-16-le"), "UTF-16", "iconv"),
    "carriage returns": (to_text(RAWS).replace(b"\n", b"\r"), "carriage returns alone", "tr "),
    "an array": (json.dumps(RAWS).encode(), "a JSON array", "jq -c '.[]'"),
    "a pretty array": (json.dumps(RAWS, indent=2).encode(), "a JSON array", "jq -c '.[]'"),
    "pretty objects": (b"".join(json.dumps(raw, indent=2).encode() + b"\n" for raw in RAWS), "over several lines",
                       "jq -c ."),
    "one pretty object": (json.dumps(RAWS[0] | {"steps": RAWS[0]["steps"] * 3000}, indent=1).encode(),
                          "over several lines", "jq -c ."),
    "zeros": (bytes(5000), "zeros", "write it again"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_another_kind_is_named_with_its_remedy(name: str, packed: bool, tmp_path: Path) -> None:
    text, words, remedy = TEXTS[name]
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(gzip.compress(text) if packed else text)
    uses: tuple[Callable[[], object], ...] = (lambda: preprocess([raw], tmp_path / "out", workers=1),
                                              lambda: inspect_any(raw), lambda: split(raw))
    for use in uses:
        with pytest.raises(InputError, match=words) as caught:
            use()
        assert remedy in caught.value.hint
        assert str(raw) in caught.value.what
    assert set(files(tmp_path)) == {"raw.jsonl"}


@given(st.lists(st.sampled_from([b"[", b"{", b"\r", b"1", b"{}", b"\0", to_line(RAWS[0])]), max_size=6).map(b"\n".join))
def test_no_text_with_a_trajectory_on_a_line_is_refused_for_its_beginning(text: bytes) -> None:
    refuse_other_texts("here", to_line(RAWS[0]) + b"\n" + text)
    refuse_other_texts("here", text + b"\n" + to_line(RAWS[0]))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_byte_order_mark_at_the_beginning_is_passed_over(packed: bool, tmp_path: Path) -> None:
    text = to_text(RAWS)
    for name, content in (("raw.jsonl", BOM + text), ("clean.jsonl", text)):
        (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
        done = preprocess([tmp_path / name], tmp_path / name.removesuffix(".jsonl"), workers=1, block_bytes=6000)
        assert done.manifest.counts.trajectories == len(RAWS)
    rows, clean = (Manifest.read(tmp_path / name).shards for name in ("raw", "clean"))
    assert [shard.rows for shard in rows] == [shard.rows for shard in clean]
    assert split(tmp_path / "raw.jsonl", val_ratio=0.4).counts == split(tmp_path / "clean.jsonl", val_ratio=0.4).counts
    for part in ("train", "val"):
        assert (tmp_path / f"raw.{part}.jsonl").read_bytes() == (tmp_path / f"clean.{part}.jsonl").read_bytes()


def test_what_may_never_end_is_refused_or_skipped_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_raw(tmp_path / "raw.jsonl", RAWS)
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    uses: list[Callable[[], object]] = [
        lambda: split(pipe), lambda: split("/dev/zero"), lambda: inspect_any(pipe),
        lambda: inspect_any(Path("/dev/zero")), lambda: preprocess(["/dev/zero"], tmp_path / "out", workers=1)]
    for use in uses:
        with pytest.raises(UsageError, match=r"(pipe\.jsonl|/dev/zero): (not a regular file|neither a file nor)"):
            use()
    for inputs in (tmp_path, tmp_path / "*.jsonl"):
        assert preprocess([inputs], tmp_path / "out", workers=1).manifest.counts.trajectories == len(RAWS)
        assert f"{pipe}: skipped, not a regular file" in capfd.readouterr().err


def test_the_manifest_counts_each_source(tmp_path: Path) -> None:
    some = [raw | {"steps": [step | {"observation": {"turn": 1}} for step in raw["steps"]]} for raw in RAWS[:4]]
    for name, raws in (("a", RAWS), ("b", some)):
        write_raw(tmp_path / f"{name}.jsonl", raws)
    (tmp_path / "c.jsonl").write_bytes(b"garbage\n")
    done = preprocess([tmp_path], tmp_path / "out", workers=1, max_bad=0.5, block_bytes=6000)
    a, b, c = done.manifest.sources
    assert (a.trajectories, b.trajectories, c.trajectories) == (40, 4, 0)
    assert (b.decisions, b.fields, b.quarantined) == (sum(len(raw["steps"]) for raw in some), 1, 0)
    assert (c.quarantined, a.fields) == (1, 21)
    assert a.decisions + b.decisions == done.manifest.counts.decisions


def test_a_damaged_input_is_told_in_two_lines(tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl.gz"
    content = gzip.compress(to_text(make_trajectories(200)))
    for damaged in (content[: len(content) // 2], content[:100] + bytes(1000) + content[1100:]):
        raw.write_bytes(damaged)
        with pytest.raises(PokeBCError, match=r"raw\.jsonl\.gz: cannot be read"):
            inspect_any(raw)
