"""How often what convert fills in is right.

    python -m tests.filling RECORDS.jsonl.zst [--battles 400] [--corpus 1500]    against the requests' truth
    python -m tests.filling REPLAYS.jsonl.zst --hide                             facts that were shown are hidden

Battles are read from their spectator lines alone. With --hide, two moves and the item, ability and tera type of each
Pokémon that showed four moves are taken away before filling, and count where they had been shown.
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow as pa

from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.dex import dex
from poke_bc.showdown.corpus import Corpus, ShownSet, chance
from poke_bc.showdown.first_pass import FirstPass, first_pass
from poke_bc.showdown.impute import inferred_team
from poke_bc.showdown.protocol import UNKNOWN
from poke_bc.showdown.record import PLAYERS, BattleRecord, SkippedBattle
from poke_bc.showdown.seen import SeenMon, SeenTeam
from poke_bc.showdown.state import OwnSet
from poke_bc.showdown.team import requested_team

FACTS = ("item", "ability", "tera")


def records(path: Path, limit: int) -> Iterator[tuple[BattleRecord, BattleRecord]]:
    """Battles as recorded, and the same from the log alone."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        for line in itertools.islice(io.TextIOWrapper(stream, encoding="utf-8"), limit):
            try:
                record = read_battle(RawBattle("json", line.encode(), path.name, path.name), Pseudonyms("salt"))
            except SkippedBattle:
                continue
            yield record, replace(record, requests={})


def true_sets(record: BattleRecord, player: str, first: FirstPass) -> Iterator[tuple[int, OwnSet]]:
    """Place in the seen team -> the set in the requests."""
    tables = dex(first.gen)
    asked = [each.request for each in record.requests.get(player, ())]  # type: ignore[call-overload]
    asked = [each for each in asked if each.get("side", {}).get("pokemon")]
    if not asked:
        return
    team = requested_team(asked, tables)
    for place, mon in enumerate(first.teams[player].mons):
        alike = [each for each in team if (each.nick, each.base, each.details.level)
                 == (mon.nick, mon.base, mon.details.level)]
        if len(alike) == 1 and alike[0].own_set is not None:
            yield place, alike[0].own_set


def hidden(team: SeenTeam, seed: str) -> tuple[SeenTeam, list[tuple[int, OwnSet]]]:
    """A team with facts taken away; and by place what was taken."""
    mons, taken = [*team.mons], []
    for place, mon in enumerate(mons):
        shown = mon.shown
        if len(shown.moves) == MOVE_SLOTS:
            kept = tuple(sorted(sorted(shown.moves, key=lambda move: chance(f"{seed}\0{place}\0{move}"))[:2]))
            less = ShownSet(shown.species, shown.level, kept)
            mons[place] = msgspec.structs.replace(mon, shown=less)
            taken.append((place, OwnSet(shown.moves, shown.item, shown.ability, shown.tera)))
    return msgspec.structs.replace(team, mons=tuple(mons)), taken


def contradicted(mon: SeenMon, filled: OwnSet, truth: OwnSet) -> list[str]:
    """True items and abilities that could not be filled in, because silence excludes them, and items proven wrongly."""
    wrong = [f"absent {getattr(truth, what)}" for what in ("item", "ability")
             if what in filled.imputed and getattr(truth, what) in mon.absent]
    if mon.shown.item not in (UNKNOWN, truth.item):
        wrong.append(f"shown {mon.shown.item}, truth {truth.item}")
    return wrong


def score(count: Counter[str], filled: OwnSet, truth: OwnSet) -> None:
    """Add what was filled, and what of it is right."""
    moves = {"hiddenpower" if move.startswith("hiddenpower") else move for move in truth.moves}
    for move in filled.imputed - {*FACTS, "species", "hiddenpowertype"}:
        count["moves"] += 1
        count["moves right"] += move in moves
    for what in FACTS:
        if what in filled.imputed and getattr(truth, what) != UNKNOWN:
            count[what] += 1
            count[f"{what} right"] += getattr(filled, what) == getattr(truth, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--battles", type=int, default=400)
    parser.add_argument("--corpus", type=int, default=1500)
    parser.add_argument("--hide", action="store_true", help="take shown facts away")
    parser.add_argument("--show", action="store_true", help="name the Pokémon whose evidence is wrong")
    args = parser.parse_args()
    corpus, firsts = Corpus(), []
    for record, plain in records(args.path, args.corpus):
        try:
            first = first_pass(plain)
        except SkippedBattle:
            continue
        corpus.add(first.revealed)
        if len(firsts) < args.battles:
            firsts.append((record, first))
    count: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    began = time.process_time()
    for record, first in firsts:
        others = corpus.others(first.revealed)
        for player in PLAYERS:
            team, truths = first.teams[player], list(true_sets(record, player, first))
            if args.hide:
                team, truths = hidden(team, f"{record.id}\0{player}")
            mons = team.mons
            filled = inferred_team(team, dex(first.gen), others, f"{record.id}\0{player}")
            for place, truth in truths:
                own_set = filled[place].own_set
                assert own_set is not None
                score(count, own_set, truth)
                found = contradicted(mons[place], own_set, truth)
                wrong.update(found)
                if args.show and found:
                    print(record.id, player, mons[place].nick, found)
    for what in ("moves", *FACTS):
        if count[what]:
            print(f"{what:8} {count[what]:6} filled, {count[what + ' right'] / count[what]:.1%} right")
    print("contradicted by the truth:", dict(wrong.most_common()))
    print(f"{time.process_time() - began:.1f} s of CPU")


if __name__ == "__main__":
    main()
