"""What train says before it starts, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_fixtures import battle_lines, make_shards, shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.memory as memory
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.train import resolve, train
from poke_bc.train.advice import advice

Edit = Callable[[dict[str, Any]], object]


def shards_of(folder: Path, edit: Edit, battles: int = 30) -> Path:
    """Shards of small battles, with every step edited."""
    lines = battle_lines(battles, 10, 0, 12, forced=False)
    for line in lines:
        for step in line["steps"]:
            edit(step)
    raw = folder / "raw.jsonl"
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    preprocess([raw], folder / "shards", workers=1)
    split(folder / "shards", val_ratio=0.3)
    return folder / "shards"


def first_of_its_kind(step: dict[str, Any]) -> None:
    step["action_target"] = 0
    step.pop("legal", None)


def first_move(step: dict[str, Any]) -> None:
    first_of_its_kind(step)
    step["action_type"] = 0


@pytest.mark.parametrize(("edit", "words"), [
    (first_of_its_kind, "the labels are degenerate: every move is move 0 and every switch is switch 0"),
    (first_move, "the labels are constant: every one is move 0"),
    (lambda step: step.pop("legal", None), "100% of the decisions have no legal mask"),
    (lambda step: step["observation"].update(active_hp=0.5), "fields never vary in the training rows: active_hp"),
    (lambda step: step.update(weight=float(step["observation"]["turn"] > 3)), "training decisions have weight 0"),
], ids=["degenerate", "constant", "no masks", "a dead field", "weights"])
def test_it_says_what_is_odd_about_the_data(tmp_path: Path, edit: Edit, words: str) -> None:
    folder = shards_of(tmp_path, edit)
    told = [*advice(ShardDataset(folder, "train"), ShardDataset(folder, "val"), 64)]
    assert sum(words in line for line in told) == 1, told


def test_it_says_that_val_is_small_and_that_a_batch_is_larger_than_an_epoch(
        shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    config = small_config(shards, tmp_path / "run", epochs=1, batch_size=2000)
    train(config, progress=False)
    told = capsys.readouterr().err
    rows, val = len(ShardDataset(shards, "train", censored=True)), len(ShardDataset(shards, "val"))
    assert f"a batch of 2,000 is larger than an epoch of {rows:,} decisions" in told
    assert f"the val split has only {val:,} decisions" in told


def test_a_val_split_of_one_battle_is_called_one_battle(tmp_path: Path) -> None:
    folder = shards_of(tmp_path, lambda step: None, battles=8)
    split(folder, val_ratio=0.12, seed=1)
    data = ShardDataset(folder, "val")
    told = [*advice(data, data, 64)]
    assert any(f"only {len(data)} decisions of 1 battle:" in line for line in told), told


def test_nothing_is_said_about_sound_data(shards: Path) -> None:  # noqa: F811
    data = ShardDataset(shards, "train")
    told = [*advice(data, data, len(data))]
    assert [line for line in told if "labels" in line or "weight" in line or "batch" in line] == []


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    folder = shards_of(tmp_path, lambda step: step.update(weight=0.0), battles=10)
    with pytest.raises(ShardError, match="every decision of the train split has weight 0"):
        train(small_config(folder, tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [
    {"policy": {"width": 65536, "blocks": 100}}, {"batch_size": 1 << 24, "policy": {"embedding": 4096}},
], ids=["network", "batch"])
def test_what_does_not_fit_into_memory_is_said_before_it_is_taken(shards: Path, tmp_path: Path,  # noqa: F811
                                                                  changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"GB, but cpu has .* GB free") as caught:
        train(small_config(shards, tmp_path / "run", **changes), progress=False)
    assert "smaller" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_free_memory_minds_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = memory.free_memory(torch.device("cpu"))
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory(torch.device("cpu")) == pytest.approx(whole, rel=0.5)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 700\nactive_file 200\ninactive_file 100\n")
    assert memory.free_memory(torch.device("cpu")) == 4300, "the page cache is given back when needed"


def test_the_number_of_weights_is_known_without_building_them(shards: Path) -> None:  # noqa: F811
    from poke_bc.policy import create_policy

    schema = ShardDataset(shards).manifest.schema
    config = small_config(shards, Path("unused"))
    whole = sum(weight.numel() for weight in create_policy(config.policy, schema).parameters())
    assert memory._parameters(config, schema) == whole


def test_mps_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="device 'mps': expected auto, cpu, cuda or cuda:1"):
        train(resolve({"device": "mps"}), progress=False)
