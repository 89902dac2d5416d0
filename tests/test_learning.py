"""Policies learn: on the sample, and on real human battles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.evaluate import evaluate
from poke_bc.train import resolve, train

SAMPLE = Path(__file__).parents[1] / "data" / "sample"


def judged(raw: Path, folder: Path, seed: int, **settings: Any) -> dict[str, Any]:
    """Preprocess, split, train, evaluate."""
    if not (folder / "shards").exists():
        preprocess([raw], folder / "shards", workers=1)
    split(folder / "shards", val_ratio=0.2, seed=seed)
    run = folder / f"run-{seed}"
    config = settings.pop("config", None)
    train(resolve({"shards": folder / "shards", "run": run, **settings}, config), progress=False)
    return evaluate(run)


def lead(result: dict[str, Any], *, blind: bool = False) -> float:
    """Top-1 over the best baseline's; `blind`: of those that see nothing of the battle but what is legal."""
    return float(result["top1"] - max(baseline["top1"] for name, baseline in result["baselines"].items()
                                      if not (blind and name == "strongest_move")))


def test_on_the_sample_loss_falls_and_every_baseline_is_beaten(tmp_path: Path) -> None:
    """From battles between programs, as `just demo` does: even the strongest move, which these mostly choose."""
    raw = tmp_path / "raw.jsonl"
    summary = convert_battles([str(SAMPLE / "battles.jsonl.zst")], raw, workers=1, keep_names=True)
    assert summary.converted == summary.battles == 1000
    results = [judged(raw, tmp_path, seed, config=SAMPLE / "train.toml") for seed in (1, 2)]
    assert all("strongest_move" in result["baselines"] for result in results)
    assert all(lead(result, blind=True) > 0.3 for result in results)
    assert all(lead(result) > 0.01 for result in results)
    assert sum(map(lead, results)) / 2 > 0.015
    assert all(result["nll"] < min(baseline["nll"] for baseline in result["baselines"].values()) for result in results)
    for seed in (1, 2):
        lines = [json.loads(line) for line in (tmp_path / f"run-{seed}" / "metrics.jsonl").read_text().splitlines()]
        epochs = [line["loss"] for line in lines if "val" in line]
        assert epochs[0] > epochs[len(epochs) // 2] > epochs[-1]


def test_on_human_battles_every_baseline_is_beaten(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """400 real battles with every choice; the default network, nothing tuned. Above 62% there would be a leak."""
    raw = tmp_path / "human.jsonl"
    records = shared_data("resim/gen9randombattle.jsonl.zst")
    summary = convert_battles([str(records)], raw, workers=1, keep_names=True, limit=400)
    assert summary.converted == 400
    assert summary.exact_views == 800
    result = judged(raw, tmp_path, 42, epochs=3)
    assert result["decisions"] > 3_000
    assert lead(result) > 0.03
    assert result["top1"] < 0.62
    assert result["top1"] == pytest.approx(
        sum(part["top1"] * part["decisions"] for part in result["slices"]["kind"].values()) / result["decisions"])
