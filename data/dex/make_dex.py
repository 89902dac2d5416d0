"""Generate the static tables and vocabularies that ship with poke-bc. For developers only.

    npm install pokemon-showdown@0.11.11 --omit=optional
    python data/dex/make_dex.py --showdown node_modules/pokemon-showdown

Data: the Dex of Pokémon Showdown (MIT licence, https://github.com/smogon/pokemon-showdown), npm package
pokemon-showdown 0.11.11, read by dump_dex.js under Node. Showdown itself resolves the differences between
generations; nothing is corrected by hand. Writes these files below poke_bc/, with the same bytes on every run:

- contract/schemas/vocabulary/{abilities,formats,items,moves,species,types}.txt: one id a line, sorted, all generations
  (formats of singles, without their generation);
- dex/tables/gen1..9.json.gz: species, cosmetic formes, moves and type chart of one generation;
- dex/tables/items.json.gz, dex/tables/learnsets.json.gz: all generations;
- dex/tables/spellings.json.gz: names as people write them, by kind, where an id with a capital letter is not it;
- dex/tables/past.json.gz: by generation the moves of earlier ones that are gone;
- dex/tables/SHA256SUMS: digests of all of the above.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWDOWN_VERSION = "0.11.11"
HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "poke_bc"
NOT_IN_DEX = {"moves": ("recharge",), "types": ("bird", "typeless")}
"""Names that occur in battles but not in the Dex: the choice of a Pokémon that must recharge; MissingNo.'s type in
generation 1; Showdown's "???" (Struggle, and Curse in generations 2 to 4)."""


def dump(showdown: Path) -> dict[str, Any]:
    """Everything that dump_dex.js prints for an installed Showdown."""
    done = subprocess.run(["node", str(HERE / "dump_dex.js"), str(showdown)], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["version"] != SHOWDOWN_VERSION:
        raise SystemExit(f"{showdown}: version {found['version']}, not {SHOWDOWN_VERSION}; change SHOWDOWN_VERSION "
                         "and the docstring to move to that version")
    return found


def files(found: Mapping[str, Any]) -> dict[str, bytes]:
    """Path within the package -> bytes, SHA256SUMS included."""
    names = {kind: sorted({*ids, *NOT_IN_DEX.get(kind, ())} - {""}) for kind, ids in found["vocabulary"].items()}
    made = {f"contract/schemas/vocabulary/{kind}.txt": "".join(f"{name}\n" for name in ids).encode()
            for kind, ids in names.items()}
    made |= {f"dex/tables/gen{gen}.json.gz": _pack(table) for gen, table in found["gens"].items()}
    made["dex/tables/items.json.gz"] = _pack(found["items"])
    made["dex/tables/learnsets.json.gz"] = _pack(_condense(found["learnsets"], names["moves"]))
    made["dex/tables/spellings.json.gz"] = _pack(found["spellings"])
    made["dex/tables/past.json.gz"] = _pack({gen: sorted({*moves}) for gen, moves in found["past"].items()})
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(made.items()))
    return made | {"dex/tables/SHA256SUMS": sums.encode()}


def _condense(learnsets: Mapping[str, Any], moves: Sequence[str]) -> dict[str, Any]:
    """Moves as indices into `moves`, grouped by the first generation in which they can be learned."""
    place = {move: at for at, move in enumerate(moves)}
    own: dict[str, dict[int, list[int]]] = {}
    for species, learned in learnsets["own"].items():
        for move, gen in sorted(learned.items()):
            own.setdefault(species, {}).setdefault(gen, []).append(place[move])
    return {"moves": moves, "own": own, "chain": learnsets["chain"]}


def _pack(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def main() -> None:
    """Write all files into this checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--showdown", type=Path, required=True, metavar="FOLDER",
                        help="the installed npm package, node_modules/pokemon-showdown")
    for path, data in files(dump(parser.parse_args().showdown)).items():
        (PACKAGE / path).parent.mkdir(parents=True, exist_ok=True)
        (PACKAGE / path).write_bytes(data)
        print(f"{len(data):>8}  {path}")


if __name__ == "__main__":
    main()
