"""Battles, written down in every shape that people keep them in; and a conversion that needs no rules of the game."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.convert.trajectories import Conversion
from poke_bc.showdown.record import BattleRecord, SkippedBattle

NAMES = ("Ash Ketchum", "MISTY.93")


def make_log(number: int = 1, turns: int = 3, names: tuple[str, str] = NAMES) -> list[str]:
    """Protocol lines of a battle of Pikachu against Staryu, chat and all."""
    lines = [
        f"|j|☆{names[0]}",
        "|inactive|Battle timer is ON",
        f"|t:|{1700000000 + number}",
        "|gametype|singles",
        f"|player|p1|{names[0]}|#{names[0]}|1500",
        f"|player|p2|{names[1]}|2|1400",
        "|teamsize|p1|1",
        "|teamsize|p2|1",
        "|gen|9",
        "|tier|[Gen 9] OU",
        "|",
        "|start",
        "|switch|p1a: Ash Ketchum|Pikachu, L50|100/100",
        "|switch|p2a: Staryu|Staryu|100/100",
        "|turn|1",
    ]
    for turn in range(1, turns + 1):
        lines += [
            f"|c|☆{names[1]}|I use |move|p1a: Ash Ketchum|Splash|p1a: Ash Ketchum",
            "|",
            f"|move|p1a: Ash Ketchum|Thunderbolt|p2a: Staryu|[n] {number}",
            f"|-damage|p2a: Staryu|{99 - turn}/100",
            f"|-sidestart|p1: {names[0]}|Spikes",
            "|upkeep",
            f"|turn|{turn + 1}",
        ]
    return [
        *lines,
        f"|-message|{names[1]} forfeited.",
        "|",
        f"|win|{names[0]}",
        f"|raw|{names[0]}'s rating: 1500 &rarr; <strong>1520</strong>",
    ]


def replay(number: int = 1, **changes: Any) -> dict[str, Any]:
    """As the public site serves it."""
    return {
        "id": f"gen9ou-{100000 + number}",
        "format": "[Gen 9] OU",
        "formatid": "gen9ou",
        "players": list(NAMES),
        "log": "\n".join(make_log(number)),
        "uploadtime": 1700000000 + number,
        "rating": 1450,
    } | changes


def jsonl(values: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def page(number: int = 1, *, escaped: bool) -> bytes:
    """A replay saved from the browser."""
    log = "\n".join(make_log(number))
    log = log.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") if escaped else log.replace("/", "\\/")
    return (
        f"<!DOCTYPE html>\n<title>[Gen 9] OU replay: {NAMES[0]} vs. {NAMES[1]}</title>\n"
        f'<input type="hidden" name="replayid" value="gen9ou-{100000 + number}" />\n'
        f'<script type="text/plain" class="battle-log-data">{log}\n</script>\n<script>let x</script>\n'
    ).encode()


def parquet(values: Sequence[dict[str, Any]], path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(list(values)), path)
    return path.read_bytes()


def packed(data: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(data, mtime=0)
    return bytes(pa.compress(data, "zstd", asbytes=True)) if ending == ".zst" else data


def bots_log(battle: dict[str, Any], player: str) -> bytes:
    """What a player's bot receives and sends: requests, choices, and the own HP in points."""
    def in_points(line: str) -> str:
        fields = line.split("|")
        own = len(fields) > 2 and fields[2].startswith(f"{player}a: ")
        return re.sub(r"\|(\d+)/100(?!\d)", lambda found: f"|{341 * int(found[1]) // 100}/341", line) if own else line

    asked: dict[int, list[str]] = {}
    for each in battle[player]:
        asked.setdefault(each["after_line"], []).extend(
            [f"|request|{json.dumps(each['request'])}", *([f"/choose {each['choice']}"] if each["choice"] else [])])
    lines = [f">battle-{battle['id']}", *asked.get(0, ())]
    for number, line in enumerate(battle["spectator"], 1):
        lines += [in_points(line), *asked.get(number, ())]
    return "\n".join(lines).encode()


class FakeCorpus:
    """How often each species was shown."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()

    def add(self, revealed: list[str]) -> None:
        self.shown.update(revealed)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dict(sorted(self.shown.items()))))

    @classmethod
    def load(cls, path: Path) -> FakeCorpus:
        corpus = cls()
        corpus.shown.update(json.loads(path.read_text()))
        return corpus


@dataclass(frozen=True)
class FakeFirstPass:
    revealed: list[str]
    passed_over: dict[str, int] = field(default_factory=dict)


def fake_first_pass(record: BattleRecord) -> FakeFirstPass:
    if any("Missingno" in line for line in record.lines):
        raise SkippedBattle("unknown Pokémon", "Missingno")
    if any("Glitch" in line for line in record.lines):
        raise ZeroDivisionError("division by zero")
    return FakeFirstPass([line.split("|")[3].split(",")[0] for line in record.lines if line.startswith("|switch|")])


def fake_convert(record: BattleRecord, corpus: FakeConsultation, first: FakeFirstPass) -> list[dict[str, Any]]:
    """A step for each move; everything that the record holds stands in it, so that nothing can hide."""
    if any("Late" in line for line in record.lines):
        raise KeyError("late")
    fatal = os.environ.get("FAKE_FATAL")
    if fatal and int(record.id.split("-")[1]) >= 100_000 + int(fatal) and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    if pause := float(os.environ.get("FAKE_PAUSE", "0")):
        time.sleep(pause)
    moves = [line for line in record.lines if line.startswith("|move|")]
    steps = [
        {
            "observation": {"corpus": corpus.shown["Pikachu"], "line": line},
            "label": ("observed", "censored", "none")[place % 3],
        }
        for place, line in enumerate(moves)
    ]
    return [
        {
            "replay_id": record.id,
            "original_id": record.original_id,
            "player": player,
            "format": record.format,
            "date": record.date,
            "rating": record.rating,
            "lines": record.lines,
            "revealed": first.revealed,
            "asked": [[each.after_line, each.request, each.choice] for each in record.requests.get(player, ())],
            "steps": steps,
        }
        for player in ("p1", "p2")
    ]


class FakeConsultation:
    """Of the corpus, it can be asked how often each species was shown."""

    def __init__(self, corpus: FakeCorpus) -> None:
        self._corpus, self._answers = corpus, dict[str, int]()

    @property
    def shown(self) -> FakeConsultation:
        return self

    def __getitem__(self, species: str) -> int:
        return self._answers.setdefault(species, self._corpus.shown[species])

    def answers(self) -> bytes:
        return json.dumps(self._answers).encode()


def fake_agrees(corpus: FakeCorpus, answers: bytes) -> bool:
    return all(corpus.shown[species] == count for species, count in json.loads(answers).items())


FAKE = Conversion(fake_first_pass, fake_convert, FakeCorpus, list[str], FakeConsultation, fake_agrees)
