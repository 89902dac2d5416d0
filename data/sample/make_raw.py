"""battles.jsonl.zst -> raw.jsonl.zst: what `poke-bc convert` makes of a quarter of it, reduced to the schema `basic`.

    python data/sample/make_raw.py [--out FOLDER]

Ids of species, statuses, weathers and terrains are those of the vocabularies of the schema `singles`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from pipelines.convert import convert_battles
from pipelines.jobs.streams import with_checksum
from poke_bc.contract.schema import load_schema

HERE = Path(__file__).parent
HAZARDS = [f"{side}_{hazard}" for side in ("own", "opp")
           for hazard in ("stealth_rock", "spikes", "toxic_spikes", "sticky_web")]
VOCABULARIES = load_schema("singles").vocabularies
BATTLES = 250
"""The first so many, with all formats among them: both files together stay small."""
ZSTD_LEVEL = 22


def ids(vocabulary: str, names: list[str]) -> list[int]:
    """Names -> ids; 0 for unknown."""
    return [VOCABULARIES[vocabulary].ids.get(name, 0) for name in names]


def to_basic(seen: dict[str, Any]) -> dict[str, Any]:
    """An observation of the schema singles -> the 21 keys of basic. In team preview nobody is active."""
    species, opp_species = ids("species", seen["own_species"]), ids("species", seen["opp_species"])
    status = ids("status", seen["own_status"])
    (weather,), (terrain,) = ids("weather", [seen["weather"]]), ids("terrain", [seen["terrain"]])
    basic = {"turn": seen["turn"], "team_hp": seen["own_hp"], "team_status": status,
             "team_fainted": seen["own_fainted"], "opp_team_revealed": opp_species, "weather_id": weather,
             "terrain_id": terrain, "team_id": 0}
    if True in seen["own_active"]:
        own = seen["own_active"].index(True)
        basic |= {"active_species_id": species[own], "active_hp": seen["own_hp"][own], "active_status": status[own]}
    if True in seen["opp_active"]:
        opp = seen["opp_active"].index(True)
        basic |= {"opp_active_species_id": opp_species[opp], "opp_active_hp": seen["opp_hp"][opp]}
    return basic | {name: seen[name] for name in HAZARDS}


def make_raw(out: Path) -> None:
    """Write raw.jsonl.zst to the folder `out`."""
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "raw.jsonl"
        convert_battles([HERE / "battles.jsonl.zst"], converted, keep_names=True, limit=BATTLES)
        trajectories = [json.loads(line) for line in converted.read_bytes().splitlines()]
    for step in (step for trajectory in trajectories for step in trajectory["steps"]):
        step["observation"] = to_basic(step["observation"])
    text = "".join(json.dumps(trajectory, separators=(",", ":")) + "\n" for trajectory in trajectories)
    packed = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(text.encode(), asbytes=True)
    (out / "raw.jsonl.zst").write_bytes(with_checksum(packed, xxhash.xxh64_intdigest(text.encode())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make raw.jsonl.zst from battles.jsonl.zst.")
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="folder to write to")
    make_raw(parser.parse_args().out)
