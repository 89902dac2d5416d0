"""Digests of what convert and preprocess make of fixed inputs: the same input must give the same bytes.

    python -m tests.digests            print them
    python -m tests.digests --write    replace tests/digests.json, after a change that is meant to change the bytes
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

TESTS = Path(__file__).resolve().parent
RECORDED = TESTS / "digests.json"
SAMPLE = TESTS.parent / "data" / "sample"
SHARED = TESTS.parents[1] / "shared"
BATTLES = 300


def lines_of(path: Path) -> list[bytes]:
    """Lines of a text under zstd."""
    with pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd") as stream:
        return bytes(stream.read()).splitlines(keepends=True)


def spread(folder: Path) -> Iterator[bytes]:
    """300 battles, equally many from each file, evenly spread over it."""
    files = sorted(folder.glob("*.jsonl.zst"))
    for place, path in enumerate(files):
        lines = lines_of(path)
        wanted = BATTLES * (place + 1) // len(files) - BATTLES * place // len(files)
        yield from (lines[at * len(lines) // wanted] for at in range(min(wanted, len(lines))))


def of_shards(folder: Path) -> str:
    """Of every file of a data set but the manifest, which names the inputs' paths, in order of their names."""
    state = hashlib.sha256()
    for path in sorted(folder.glob("shard-*")):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:16]


def of_preprocess(raw: Path, work: Path) -> str:
    from pipelines.preprocess import preprocess

    preprocess([raw], work / "shards", workers=1, max_bad=1.0)
    return of_shards(work / "shards")


def of_convert(battles: Path, work: Path) -> dict[str, str]:
    """Of the converted text, of what was skipped, and of the shards made of the text."""
    from pipelines.convert import convert_battles

    done = convert_battles([str(battles)], work / "raw.jsonl", workers=1, salt="digests").to_dict()
    told = {name: done[name] for name in ("battles", "converted", "trajectories", "decisions", "labelled", "censored",
                                          "unlabelled", "exact_views", "left_out", "skipped")}
    return {"text": hashlib.sha256((work / "raw.jsonl").read_bytes()).hexdigest()[:16],
            "summary": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16],
            "shards": of_preprocess(work / "raw.jsonl", work)}


def digests(name: str) -> dict[str, str]:
    """Of one of INPUTS."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if name == "sample raw":
            return {"shards": of_preprocess(SAMPLE / "raw.jsonl.zst", work)}
        if name == "basic":
            return {"shards": of_preprocess(SHARED / "basic" / "trajectories.jsonl", work)}
        if name == "sample battles":
            return of_convert(SAMPLE / "battles.jsonl.zst", work)
        (work / "battles.jsonl").write_bytes(b"".join(spread(SHARED / name)))
        return of_convert(work / "battles.jsonl", work)


INPUTS = ("sample raw", "sample battles", "basic", "replays", "sim", "resim")
NEEDS_SHARED = ("basic", "replays", "sim", "resim")


if __name__ == "__main__":
    found = {name: digests(name) for name in INPUTS}
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if "--write" in sys.argv:
        RECORDED.write_text(text, encoding="utf-8")
