"""Whatever a run is asked to do, resumed or captured it has the same weights bit by bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_networks import HeadsOptions
from stream_stand_in import Immediate
from test_train import metrics, untimed
from torch import Tensor
from training_fixtures import shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.loop as loop
from poke_bc.contract.errors import UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.train import TrainConfig, resolve, train
from poke_bc.train.checkpoint import Checkpoints
from poke_bc.train.loop import Trainer

HEADS: dict[str, Any] = {"value_weight": 0.5, "gimmick_weight": 0.5}
OPTIONS: dict[str, dict[str, Any]] = {
    "heads": {"policy": HeadsOptions(), **HEADS},
    "sequences": {"policy": HeadsOptions(history=4), **HEADS},
}


def configured(shards: Path, run: Path, option: str, **changes: Any) -> TrainConfig:  # noqa: F811
    """A short run with one of the options."""
    return small_config(shards, run, **{"epochs": 1.5, "save_every": 4, **OPTIONS[option], **changes})


def stopped_and_resumed(config: TrainConfig, after: int) -> None:
    trainer = Trainer(config, Checkpoints(config.run))
    with trainer.feed() as feeder:
        for _ in range(after):
            trainer.step(feeder.next_packed())
        trainer.save()
    train(config, resume=True, progress=False)


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "last" / "policy" / "policy.safetensors")


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_run_is_the_same(shards: Path, tmp_path: Path, option: str) -> None:  # noqa: F811
    train(configured(shards, tmp_path / "whole", option), progress=False)
    stopped_and_resumed(configured(shards, tmp_path / "part", option), after=8)
    assert_same(tmp_path / "part", tmp_path / "whole")
    assert untimed(metrics(tmp_path / "part")[-1]) == untimed(metrics(tmp_path / "whole")[-1])


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_captured_steps_are_the_same(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
                                     option: str, resident: bool) -> None:
    """With the rate on the device in both; a rate in Python's doubles rounds otherwise."""
    devices: list[Immediate] = []
    original = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *args, **_: original(*args, capturable=True))
    train(configured(shards, tmp_path / "eager", option), progress=False)
    monkeypatch.setattr(loop, "captures", lambda *_: True)
    monkeypatch.setattr(loop, "accelerator_of", lambda _: devices.append(Immediate()) or devices[-1])
    if resident:
        feeder = loop.BatchFeeder
        monkeypatch.setattr(loop, "BatchFeeder", lambda *args, **kwargs: feeder(*args, **kwargs, resident=True))
    train(configured(shards, tmp_path / "captured", option), progress=False)
    assert_same(tmp_path / "captured", tmp_path / "eager")
    assert devices[0].captures == 1


# Heads


def test_each_head_learns_and_has_its_own_figures(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    train(configured(shards, tmp_path / "run", "heads", epochs=8, log_every=10, lr=1e-2), progress=False)
    lines = metrics(tmp_path / "run")
    for head in ("policy", "value", "gimmick"):
        assert lines[-1][f"{head}_loss"] < 0.95 * lines[0][f"{head}_loss"], head
    assert 0 < lines[0]["gimmick_loss"] < 2 * math.log(2), "two are open, not five"
    train(configured(shards, tmp_path / "alone", "heads", value_weight=0.0, gimmick_weight=0.0), progress=False)
    line = metrics(tmp_path / "alone")[0]
    assert "policy_loss" in line
    assert not {"value_loss", "gimmick_loss"} & line.keys()


def test_a_weight_without_its_head_is_refused() -> None:
    with pytest.raises(UsageError, match="gimmick_weight is set, but the policy has no gimmick head"):
        resolve({"policy": "mlp"}, assignments=["gimmick_weight=1"])


# Sequences


def test_an_update_takes_as_many_steps_of_sequences_as_rows(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    result = train(configured(shards, tmp_path / "run", "sequences", epochs=1), progress=False)
    rows = len(ShardDataset(shards, "train", censored=True))
    assert result.steps == math.ceil(rows / 64)
    assert result.samples == result.steps * 64
    assert result.val is not None
    assert result.val["decisions"] == len(ShardDataset(shards, "val"))
    with pytest.raises(UsageError, match="less than the 4 steps of one sequence"):
        train(configured(shards, tmp_path / "small", "sequences", batch_size=3), progress=False)
