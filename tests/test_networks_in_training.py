"""Every shipped network, trained on converted battles: resumed or captured it has the same weights bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_networks import SAMPLE
from test_training_options import assert_capturing_changes_nothing, assert_same, stopped_and_resumed
from training_fixtures import make_shards

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import RunError
from poke_bc.policy import POLICIES
from poke_bc.train import TrainConfig, train


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    convert_battles([str(SAMPLE)], folder / "raw.jsonl", workers=1, keep_names=True, limit=12)
    preprocess([folder / "raw.jsonl"], folder / "shards", workers=1)
    split(folder / "shards", val_ratio=0.3)
    return folder / "shards"


def configured(shards: Path, run: Path, name: str, **changes: Any) -> TrainConfig:
    """Ten steps of a small network with everything that draws or remembers something."""
    network = {"name": name, "width": 16, "embedding": 4, "dropout": 0.2, "value_head": True, "gimmick_head": True}
    return TrainConfig.of({"shards": shards, "run": run, "policy": network, "steps": 10, "batch_size": 64, "lr": 3e-3,
                           "device": "cpu", "log_every": 5, "save_every": 4, "average": 0.9, "rating_dropout": 0.5,
                           "permute_slots": True, "value_weight": 0.1, "gimmick_weight": 0.1, **changes})


@pytest.mark.parametrize("name", POLICIES)
def test_a_resumed_run_is_the_same(shards: Path, tmp_path: Path, name: str) -> None:
    train(configured(shards, tmp_path / "whole", name), progress=False)
    stopped_and_resumed(configured(shards, tmp_path / "part", name), after=7)
    assert_same(tmp_path / "part", tmp_path / "whole")


@pytest.mark.parametrize("name", POLICIES)
def test_captured_steps_are_the_same(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     name: str) -> None:
    assert_capturing_changes_nothing(configured(shards, tmp_path / "eager", name),
                                     configured(shards, tmp_path / "captured", name), monkeypatch)


@pytest.mark.parametrize("name", POLICIES)
def test_other_shards_are_refused(shards: Path, tmp_path: Path, name: str) -> None:
    train(configured(shards, tmp_path / "run", name), progress=False)
    other = make_shards(tmp_path / "basic", battles=4)
    config = configured(other, tmp_path / "next", name, init_from=tmp_path / "run", rating_dropout=0.0)
    with pytest.raises(RunError, match=r"run: reads schema singles .* the shards hold schema basic"):
        train(config, progress=False)
