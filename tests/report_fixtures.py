"""Runs on a few battles of the sample, whose players' names attack the page, for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import REPOSITORY
from training_fixtures import make_shards, small_config

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.report import Report, report
from poke_bc.train import train

HOSTILE = "</script><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>&amp;"


@pytest.fixture(scope="session")
def singles_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on the same 24 battles, with and without a value head."""
    folder = tmp_path_factory.mktemp("report")
    raw = folder / "raw.jsonl"
    convert_battles([str(REPOSITORY / "data" / "sample" / "battles.jsonl.zst")], raw, limit=24, workers=1, salt="s")
    lines = [json.loads(line) for line in raw.read_text("utf-8").splitlines()]
    for line in lines:
        line["player_id"] = f"{line['player']} {HOSTILE}"
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    shards = folder / "shards"
    preprocess([raw], shards, workers=1)
    split(shards, val_ratio=0.4)
    runs = [folder / "with <b>value" / "run", folder / "plain" / "run"]
    for run, value in zip(runs, (True, False), strict=True):
        train(small_config(shards, run, policy={"value_head": value}, value_weight=0.5 * value, epochs=1, eval_every=2),
              progress=False)
    return runs


@pytest.fixture(scope="session")
def singles_report(singles_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    path = tmp_path_factory.mktemp("pages") / "two.html"
    return path, report(singles_runs, path, device="cpu")


@pytest.fixture(scope="session")
def basic_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Of a schema without Pokémon."""
    folder = tmp_path_factory.mktemp("basic")
    train(small_config(make_shards(folder / "shards"), folder / "run", epochs=1), progress=False)
    return folder / "basic.html", report([folder / "run"], folder / "basic.html", device="cpu")
