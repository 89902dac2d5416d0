"""Thousands of damaged lines and battles through whole commands: each is counted once, and no row is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import pytest
from broken_logs import change_log, change_value
from fuzz_texts import Mutator, seeds
from plain_reading import read_plainly, read_shards_with_polars
from random_players import random_battles
from trajectories import make_trajectories, to_line

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from poke_bc.contract.schema import load_schema
from poke_bc.contract.trajectory import BadLine, read_trajectory
from poke_bc.showdown.record import PLAYERS

BASIC = load_schema("basic")
LOG_WAYS = ("drop", "repeat", "swap", "cut", "field", "end", "player", "turn")
VALUE_WAYS = ("replace", "remove", "copy")
MOST = 1 << 20


def changes(random: Random, ways: tuple[str, ...]) -> list[tuple[str, int, int]]:
    return [(random.choice(ways), random.randrange(MOST), random.randrange(MOST))
            for _ in range(random.choice((1, 2, 4)))]


def mutated_lines(random: Random, count: int) -> list[bytes]:
    """Damaged lines; every tenth is good, and so is the first."""
    texts, good = Mutator(random, [*seeds()]), [to_line(raw) for raw in make_trajectories(20)]
    lines: list[bytes] = []
    while len(lines) < count:
        found = (random.choice(good),) if len(lines) % 10 == 0 else texts.next().split(b"\n")
        lines += [line for line in found if line.strip(b" \t\r")]
    return lines[:count]


def is_trajectory(line: bytes) -> bool:
    try:
        read_trajectory(line.removesuffix(b"\r"), BASIC)
    except BadLine:
        return False
    return True


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("decoder", ["arrow", "scanner"])
def test_each_of_many_mutated_lines_is_rows_or_in_quarantine(decoder: str, count: int, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    lines, raw = mutated_lines(Random(seed), count), tmp_path / "raw.jsonl"
    raw.write_bytes(b"\n".join(lines))
    good = [is_trajectory(line) for line in lines]
    with mock.patch.dict(os.environ, POKE_BC_DECODER=decoder):
        counts = preprocess([raw], tmp_path / "out", schema="basic", workers=1, max_bad=1).manifest.counts
    assert counts.trajectories == sum(good), seed
    assert counts.trajectories + sum(counts.quarantined.values()) == len(lines), seed
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert [entry["line"] for entry in entries] == [number for number, is_good in enumerate(good, 1) if not is_good]
    plain = [json.dumps(json.loads(line)).encode() for line, is_good in zip(lines, good, strict=True) if is_good]
    found = read_shards_with_polars(tmp_path / "out")
    for name, column in read_plainly(b"\n".join(plain)).items():
        np.testing.assert_array_equal(found[name], column, f"{name}, seed {seed}")


def mutated_battles(random: Random, count: int, battles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Damaged records, some of them without requests, some with damaged ones."""
    records = []
    for number in range(count):
        battle = random.choice(battles)
        record = battle | {"id": f"{battle['id']}{number:05}", "spectator": change_log(battle["spectator"],
                                                                                       changes(random, LOG_WAYS))}
        if number % 2:
            record = {key: value for key, value in record.items() if key not in PLAYERS}
        elif number % 4:
            player = random.choice(PLAYERS)
            record[player] = change_value(record[player], changes(random, VALUE_WAYS))
        records.append(record)
    return records


@pytest.mark.parametrize("count", [60, pytest.param(2_000, marks=pytest.mark.soak)])
def test_each_of_many_mutated_battles_is_converted_or_skipped(count: int, tmp_path: Path) -> None:
    """And those that are whole, of other players, are converted as if they were alone."""
    seed = int.from_bytes(os.urandom(4))
    random, battles = Random(seed), [*map(json.loads, random_battles())]
    whole = battles[::4]
    given = [*whole, *mutated_battles(random, count, [each for each in battles if each not in whole])]
    random.shuffle(given)
    texts = {"raw": given, "alone": [each for each in given if each in whole]}
    lines = {}
    for name, records in texts.items():
        path, out = tmp_path / f"{name}-battles.jsonl", tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        done = convert_battles([path], out, workers=1, salt="s")
        assert done.battles == len(records) == (
            done.converted + done.joined + sum(done.skipped.values()) + sum(done.left_out.values())), seed
        assert not [reason for reason in done.skipped if reason.startswith("internal error")], (seed, done.examples)
        lines[name] = out.read_bytes().splitlines()
        counts = preprocess([out], tmp_path / name, workers=1, max_bad=0).manifest.counts
        assert (counts.trajectories, counts.quarantined) == (done.trajectories, {}), seed
    assert len(lines["alone"]) == 2 * len(whole)
    assert set(lines["alone"]) <= set(lines["raw"]), seed
