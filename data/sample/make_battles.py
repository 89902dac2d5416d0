"""Battle records -> the sample of battles: the first of every format, without what `poke-bc convert` does not read.

    python data/sample/make_battles.py RECORDS

RECORDS is a folder of battle records (FORMAT.jsonl.zst) of simulated battles. The same records give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from pipelines.jobs.streams import with_checksum

Json = dict[str, Any]

BATTLES, WITH_PREVIEW = 48, 8
"""Of each of the nine generations; of each of the formats with team preview."""
ZSTD_LEVEL = 19


def read_records(path: Path) -> Iterator[Json]:
    """The battle records of one file."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        yield from (json.loads(line) for line in stream.read().splitlines())


def slim(record: Json) -> Json:
    """Spectator lines, and of each player the requests that were answered."""
    players = {
        player: [
            {"after_line": event["spec_lines"], "request": event["request"], "choice": event["choice"]}
            | ({"rejected": True} if event.get("rejected") else {})
            for event in record[player]
            if event["k"] == "r" and event["choice"] is not None and not event["request"].get("wait")
        ]
        for player in ("p1", "p2")
    }
    return {"id": record["id"], "format": record["format"], "spectator": record["spectator"], **players}


def make_battles(records: Path, out: Path) -> None:
    """Write battles.jsonl.zst."""
    lines = []
    for path in sorted(records.glob("gen*.jsonl.zst")):
        if "doubles" in path.name:
            continue
        wanted = WITH_PREVIEW if "team_preview" in path.name else BATTLES
        records = islice(read_records(path), wanted)
        lines += [json.dumps(slim(record), separators=(",", ":")) + "\n" for record in records]
    text = "".join(lines).encode()
    packed = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(text, asbytes=True)
    (out / "battles.jsonl.zst").write_bytes(with_checksum(packed, xxhash.xxh64_intdigest(text)))


def main() -> None:
    """Read the command line and make the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("records", type=Path, help="folder with FORMAT.jsonl.zst battle records")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    args = parser.parse_args()
    make_battles(args.records, args.out)


if __name__ == "__main__":
    main()
