"""Generate the sets that formats with given teams hand out, with their frequencies. For developers only.

    npm install pokemon-showdown@0.11.11 --omit=optional
    python data/dex/make_sets.py --showdown node_modules/pokemon-showdown [--formats gen1randombattle ...]

Data: 20,000 teams a format, made by the team generator of Pokémon Showdown (MIT licence,
https://github.com/smogon/pokemon-showdown), npm package pokemon-showdown 0.11.11, with seeds 0 to 19,999
(dump_sets.js). Whole teams, because a set depends on the rest of its team; sets instead of the chance of each move,
because moves, item, ability and tera type depend on each other. About 10 minutes of CPU for all formats.
Writes poke_bc/dex/sets/FORMAT.json.gz, with the same bytes on every run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "poke_bc" / "dex" / "sets"
TEAMS = 20_000
FORMATS = (
    *(f"gen{gen}randombattle" for gen in range(1, 10)), "gen7letsgorandombattle", "gen8bdsprandombattle",
    "gen9babyrandombattle", *(f"gen{gen}battlefactory" for gen in range(6, 10)),
    *(f"gen{gen}bssfactory" for gen in range(7, 10)),
)


def dump(showdown: Path, format_: str, teams: int = TEAMS) -> dict[str, Any]:
    """What dump_sets.js prints: of each species how many teams had which set; of groups of names, on how many teams
    one Pokémon had one of them, and on how many more than one."""
    done = subprocess.run(["node", str(HERE / "dump_sets.js"), str(showdown), format_, str(teams)], check=True,
                          capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(found: Mapping[str, Any], teams: int = TEAMS) -> bytes:
    """The file: all names; species -> list of [moves, item, ability, tera, count], each name as its index; groups of
    which a team has one member only."""
    rows = {species: sorted([*json.loads(row), count] for row, count in sets.items())
            for species, sets in found["sets"].items()}
    names = sorted({name for sets in rows.values() for moves, *others, _ in sets for name in (*moves, *others)})
    of = {species: {name for moves, item, *_ in sets for name in (*moves, item)} for species, sets in rows.items()}
    place = {name: at for at, name in enumerate(names)}
    value = {
        "names": names,
        "sets": {species: [[[place[move] for move in moves], *(place[name] for name in others), count]
                           for moves, *others, count in sets] for species, sets in rows.items()},
        "single": sorted([place[name] for name in group["names"]] for group in found["groups"]
                         if is_single(group["once"], group["twice"], teams)
                         and sum(not of[species].isdisjoint(group["names"]) for species in of) > 2),
    }
    return gzip.compress(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), 9, mtime=0)


def is_single(once: int, twice: int, teams: int) -> bool:
    """Whether teams avoid two members with one of a group: less than a twentieth of what would be by chance."""
    share = (once + 2 * twice) / (6 * teams)
    expected = teams * (1 - (1 - share) ** 6 - 6 * share * (1 - share) ** 5)
    return expected >= 10 and 20 * twice < expected


def main() -> None:
    """Write the files into this checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--showdown", type=Path, required=True, metavar="FOLDER",
                        help="the installed npm package, node_modules/pokemon-showdown")
    parser.add_argument("--formats", nargs="+", default=FORMATS, metavar="FORMAT", help="only these")
    args = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for format_ in args.formats:
        data = table(dump(args.showdown, format_))
        (FOLDER / f"{format_}.json.gz").write_bytes(data)
        print(f"{len(data):>8}  {format_}")


if __name__ == "__main__":
    main()
