"""Whatever a run is asked to do, resumed or captured it has the same weights bit by bit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import assert_told_in_two_lines, run_cli
from numpy.typing import NDArray
from safetensors.torch import load_file
from small_networks import HeadsOptions
from stream_stand_in import Immediate
from test_train import metrics, untimed
from torch import Tensor
from training_fixtures import battle_lines, make_shards, small_config

import poke_bc.train.loop as loop
from pipelines.preprocess import preprocess
from pipelines.split import chosen_trajectories, split
from poke_bc.contract.actions import NO_LABEL
from poke_bc.contract.errors import UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.evaluate import evaluate
from poke_bc.metrics import score_policy
from poke_bc.policy import load_policy
from poke_bc.train import TrainConfig, train
from poke_bc.train.augment import RATINGS, RatingDropout, augmentation
from poke_bc.train.calibrate import calibrate
from poke_bc.train.checkpoint import Checkpoints
from poke_bc.train.emphasis import rating_factors
from poke_bc.train.loop import Trainer
from poke_bc.train.setup import open_train
from poke_bc.train.step import SUMS

HEADS: dict[str, Any] = {"value_weight": 0.5, "gimmick_weight": 0.5}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"average": 0.0},
    "heads": {"policy": HeadsOptions(), **HEADS},
    "sequences": {"policy": HeadsOptions(history=4), **HEADS},
    "weights": {"loser_weight": 0.5, "rating_weight": 1.0, "value_weight": 0.5, "policy": HeadsOptions()},
    "average": {"average": 0.9},
    "ratings": {"rating_dropout": 0.5},
    "ratings of sequences": {"rating_dropout": 0.5, "policy": HeadsOptions(history=4)},
}


SCHEMA = """
name = "rated"
version = 1
[[field]]
name = "turn"
kind = "integer"
high = 1000
scale = 50
[[field]]
name = "active_species_id"
kind = "category"
vocab = "species"
[[field]]
name = "opp_active_species_id"
kind = "category"
vocab = "species"
[[field]]
name = "own_rating"
kind = "number"
high = 4000
scale = 1500
[[field]]
name = "opp_rating"
kind = "number"
high = 4000
scale = 1500
[[field]]
name = "own_can_gimmick"
kind = "flag"
width = 4
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 600 decisions of players with ratings, 1000, 1100 ... to 1900; of every eleventh none is known. Whoever is
    paired with a worse one wins."""
    folder = tmp_path_factory.mktemp("rated")
    (folder / "rated.toml").write_text(SCHEMA, "utf-8")
    lines = battle_lines(30, 12, 0, 12, forced=False)
    for number, line in enumerate(lines):
        for step in line["steps"]:
            step["observation"]["own_can_gimmick"] = [False, False, False, True]
        if number % 11:
            line["rating"] = 1000 + 100 * (number % 10)
            for step in line["steps"]:
                step["observation"] |= {"own_rating": line["rating"], "opp_rating": 1500 - 400 * line["total_reward"]}
    (folder / "raw.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    preprocess([folder / "raw.jsonl"], folder / "shards", schema=str(folder / "rated.toml"), workers=1)
    split(folder / "shards", val_ratio=0.2)
    return folder / "shards"


def configured(shards: Path, run: Path, option: str, **changes: Any) -> TrainConfig:
    """A short run with one of the options."""
    return small_config(shards, run, **{"epochs": 1.5, "save_every": 4, **OPTIONS[option], **changes})


def stopped_and_resumed(config: TrainConfig, after: int) -> None:
    trainer = Trainer(config, Checkpoints(config.run))
    with trainer.feed() as feeder:
        for _ in range(after):
            trainer.step(feeder.next_packed())
        trainer.save()
    train(config, resume=True, progress=False)


def train_rows(shards: Path, name: str) -> NDArray[Any]:
    """A column of the trajectory tables for each decision of the training split."""
    data = ShardDataset(shards, "train", censored=True)
    return np.array(data.shards.trajectories(name), float)[data.column("trajectory")]


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "last" / "policy" / "policy.safetensors")


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def assert_capturing_changes_nothing(eager: TrainConfig, captured: TrainConfig, monkeypatch: pytest.MonkeyPatch,
                                     *, resident: bool = False) -> None:
    """With the rate on the device in both; a rate in Python's doubles rounds otherwise."""
    devices: list[Immediate] = []
    original = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *args, **_: original(*args, capturable=True))
    train(eager, progress=False)
    monkeypatch.setattr(loop, "captures", lambda *_: True)
    monkeypatch.setattr(loop, "accelerator_of", lambda _: devices.append(Immediate()) or devices[-1])
    if resident:
        feeder = loop.BatchFeeder
        monkeypatch.setattr(loop, "BatchFeeder", lambda *args, **kwargs: feeder(*args, **kwargs, resident=True))
    train(captured, progress=False)
    assert_same(captured.run, eager.run)
    assert devices[0].captures == 1


@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_run_is_the_same(shards: Path, tmp_path: Path, option: str) -> None:
    train(configured(shards, tmp_path / "whole", option), progress=False)
    stopped_and_resumed(configured(shards, tmp_path / "part", option), after=8)
    assert_same(tmp_path / "part", tmp_path / "whole")
    assert untimed(metrics(tmp_path / "part")[-1]) == untimed(metrics(tmp_path / "whole")[-1])


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_captured_steps_are_the_same(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     option: str, resident: bool) -> None:
    assert_capturing_changes_nothing(configured(shards, tmp_path / "eager", option),
                                     configured(shards, tmp_path / "captured", option), monkeypatch, resident=resident)


# Heads


def test_each_head_learns_and_has_its_own_figures(shards: Path, tmp_path: Path) -> None:
    train(configured(shards, tmp_path / "run", "heads", epochs=16, log_every=10, lr=1e-2), progress=False)
    lines = metrics(tmp_path / "run")
    for head in ("policy", "value", "gimmick"):
        assert lines[-1][f"{head}_loss"] < 0.95 * lines[0][f"{head}_loss"], head
    assert 0 < lines[0]["gimmick_loss"] < 2 * math.log(2), "two are open, not five"
    train(configured(shards, tmp_path / "alone", "heads", value_weight=0.0, gimmick_weight=0.0), progress=False)
    line = metrics(tmp_path / "alone")[0]
    assert "policy_loss" in line
    assert not {"value_loss", "gimmick_loss"} & line.keys()


def test_a_weight_without_its_head_has_no_effect(shards: Path, tmp_path: Path) -> None:
    for name, weight in (("run", 0.5), ("other", 0.0)):
        train(configured(shards, tmp_path / name, "plain", value_weight=weight, gimmick_weight=weight,
                         policy={"value_head": False, "gimmick_head": False}), progress=False)
    lines, others = (metrics(tmp_path / name) for name in ("run", "other"))
    assert [*map(untimed, lines)] == [*map(untimed, others)]
    assert not {"value_loss", "gimmick_loss"} & lines[0].keys()


# Sequences


def test_an_update_takes_as_many_steps_of_sequences_as_rows(shards: Path, tmp_path: Path) -> None:
    result = train(configured(shards, tmp_path / "run", "sequences", epochs=1), progress=False)
    rows = len(ShardDataset(shards, "train", censored=True))
    assert result.steps == math.ceil(rows / 64)
    assert result.samples == result.steps * 64
    assert result.val is not None
    assert result.val["decisions"] == len(ShardDataset(shards, "val"))
    with pytest.raises(UsageError, match="less than the 4 steps of one sequence"):
        train(configured(shards, tmp_path / "small", "sequences", batch_size=3), progress=False)


# Whose decisions count


def test_losers_count_less_and_the_value_head_does_not_know(shards: Path, tmp_path: Path) -> None:
    def weight_of(option: str, **changes: Any) -> dict[str, float]:
        trainer = Trainer(configured(shards, tmp_path / option, "heads", **changes), Checkpoints(tmp_path / option))
        with trainer.feed() as feeder:
            for _ in range(3):
                trainer.step(feeder.next_packed())
        return dict(zip(SUMS, trainer.sums.tolist(), strict=True))

    plain, halved = weight_of("plain"), weight_of("halved", loser_weight=0.5)
    assert plain["policy_rows"] == plain["value_rows"] == halved["value_rows"] == 3 * 64
    assert 0.6 * 3 * 64 < halved["policy_rows"] < 0.9 * 3 * 64
    assert weight_of("gone", loser_weight=0.0)["value_rows"] == 3 * 64, "the value head learns from losers"


def test_losers_that_teach_nothing_are_left_out(shards: Path, tmp_path: Path) -> None:
    trainer = Trainer(configured(shards, tmp_path / "run", "plain", loser_weight=0.0, policy={"value_head": False}),
                      Checkpoints(tmp_path / "run"))
    assert len(trainer.data) == (train_rows(shards, "total_reward") > 0).sum()


def test_the_factor_of_a_rating_is_smooth_bounded_and_1_at_the_median(shards: Path) -> None:
    data = open_train(configured(shards, Path("unused"), "plain", rating_weight=2.0), Shards(shards))
    factor_N = torch.cat([*data.chunks("factor")]).numpy()
    rating_N = train_rows(shards, "rating")
    assert (factor_N[np.isnan(rating_N)] == 1).all()
    known_N = ~np.isnan(rating_N)
    by_rating = {rating: float(factor) for rating, factor in zip(rating_N[known_N], factor_N[known_N], strict=True)}
    assert sorted(by_rating, key=by_rating.__getitem__) == sorted(by_rating)
    assert max(by_rating.values()) < 4
    assert rating_factors(np.array([1200.0]), 1200, 3.0) == 1
    everything = data.batch(np.arange(len(data)))
    assert torch.equal(everything.factor, torch.from_numpy(factor_N)), "chunks, as kept on a device, and batches agree"


def test_ratings_that_nobody_knows_cannot_weigh(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no trajectory to learn from in .* has a rating"):
        train(small_config(make_shards(tmp_path / "shards", battles=10), tmp_path / "run", rating_weight=1.0))


# Of which trajectories


def test_where_chooses_what_is_learned_from_and_leaves_validation_alone(shards: Path, tmp_path: Path) -> None:
    where = "rating >= 1500 and replay_id like 'sim-%'"
    command = ("train", "--shards", shards, "--run", tmp_path / "run", "--where", where, "--device", "cpu", "--quiet",
               "--set", "batch_size=32", "--set", "policy.width=16", "--json")
    done = run_cli(*command, "--steps", "3")
    assert done.code == 0, done.stderr
    assert done.json["val"]["decisions"] == len(ShardDataset(shards, "val"))
    trained_on = load_policy(tmp_path / "run").trained_on
    assert trained_on is not None
    assert trained_on.decisions == (train_rows(shards, "rating") >= 1500).sum()
    assert TrainConfig.read(tmp_path / "run").where == where
    resumed = run_cli("train", "--run", tmp_path / "run", "--resume", "--steps", "5", "--quiet", "--json")
    assert resumed.json["steps"] == 5, resumed.stderr
    assert evaluate(tmp_path / "run")["decisions"] == done.json["val"]["decisions"]
    assert_told_in_two_lines(run_cli("train", "--run", tmp_path / "run", "--resume", "--where", "rating > 0"),
                             "where was")


@pytest.mark.parametrize(("where", "words"), [("ratng > 3", "--where ratng > 3"), ("rating > 9000", "no decision to")])
def test_a_condition_that_cannot_be_meant_is_refused(shards: Path, tmp_path: Path, where: str, words: str) -> None:
    done = run_cli("train", "--shards", shards, "--run", tmp_path / "run", "--where", where)
    assert_told_in_two_lines(done, words)
    assert not (tmp_path / "run").exists()


def test_in_python_the_condition_comes_with_what_it_holds_for(shards: Path, tmp_path: Path) -> None:
    config = configured(shards, tmp_path / "run", "plain", where="rating >= 1500", steps=2)
    with pytest.raises(UsageError, match="where is set, but not which") as caught:
        train(config)
    assert "chosen_trajectories" in caught.value.hint
    assert train(config, chosen=chosen_trajectories(shards, config.where), progress=False).steps == 2


# The average of the weights


def test_what_is_evaluated_and_saved_is_the_average_and_training_goes_on_without_it(
        shards: Path, tmp_path: Path) -> None:
    plain = Trainer(configured(shards, tmp_path / "plain", "plain"), Checkpoints(tmp_path / "plain"))
    trainer = Trainer(configured(shards, tmp_path / "run", "average"), Checkpoints(tmp_path / "run"))
    passed: list[list[Tensor]] = []
    for each in (plain, trainer):
        torch.manual_seed(5)
        with each.feed() as feeder:
            for _ in range(6):
                each.step(feeder.next_packed())
                passed.append([weight.detach().double() for weight in each.policy.parameters()])
    assert all(torch.equal(one, other) for one, other in
               zip(plain.policy.parameters(), trainer.policy.parameters(), strict=True))
    expected = passed[0]
    for count, weights_now in enumerate(passed[:6]):
        decay = min(0.9, count / (count + 9))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights_now, strict=True)]
    val = trainer._evaluate()
    trainer.save()
    saved = load_policy(tmp_path / "run", checkpoint="last")
    assert all(torch.equal(own.double(), weight) for own, weight in
               zip(trainer.policy.parameters(), passed[5], strict=True))
    for weight, average in zip(saved.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach().double(), average, rtol=1e-4, atol=1e-6)
    assert val == score_policy(saved, trainer.val, device=trainer.device).figures()
    assert val != plain._evaluate()


# The temperature of the policy


def test_the_temperature_is_fitted_and_saved_and_no_part_of_training(shards: Path, tmp_path: Path) -> None:
    trainers = [Trainer(config := configured(shards, tmp_path / name, "average", calibrate=name == "fitted"),
                        Checkpoints(config.run)) for name in ("fitted", "plain")]
    for each in trainers:
        torch.manual_seed(5)
        with each.feed() as feeder:
            for _ in range(4):
                each.step(feeder.next_packed())
                each._evaluate()
    fitted, plain = trainers
    assert float(plain.policy.temperature) == 1
    assert float(fitted.policy.temperature) != 1
    assert all(torch.equal(one, other) for one, other in
               zip(plain.policy.parameters(), fitted.policy.parameters(), strict=True))
    assert fitted._evaluate()["nll"] < plain._evaluate()["nll"]
    fitted.save()
    saved = load_policy(fitted.config.run, checkpoint="last")
    assert torch.equal(saved.temperature, fitted.policy.temperature)


def test_logits_are_divided_by_the_temperature_outside_training(shards: Path, tmp_path: Path) -> None:
    trainer = Trainer(configured(shards, tmp_path / "run", "plain"), Checkpoints(tmp_path / "run"))
    policy, batch = trainer.policy, trainer.val.batch(np.arange(8))

    def logits() -> Tensor:
        torch.manual_seed(0)  # of dropout
        return policy(batch).logits

    before = logits()
    with policy.evaluating():
        plain = logits()
    policy.temperature.fill_(2.0)
    assert torch.equal(logits(), before)
    with policy.evaluating():
        assert torch.equal(logits(), plain / 2)
    assert policy.training


def test_without_an_observed_choice_there_is_no_temperature_to_fit(
        shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(configured(shards, tmp_path / "run", "plain"), Checkpoints(tmp_path / "run"))
    batch = trainer.val.batch(np.arange(8))
    batch.action.fill_(NO_LABEL)
    monkeypatch.setattr("poke_bc.train.calibrate.some_outputs_of", lambda policy, *_: [(policy(batch), batch)])
    calibrate(trainer.policy, trainer.val)
    assert float(trainer.policy.temperature) == 1


# Ratings that are not told


def test_ratings_are_dropped_in_some_rows_and_nothing_else_is(shards: Path) -> None:
    data = ShardDataset(shards, "train")
    augment = augmentation(configured(shards, Path("unused"), "ratings"), data.manifest.schema, torch.device("cpu"))
    assert augment is not None
    batch = data.batch(np.arange(len(data)))
    before = batch.number.clone()
    dropped = augment(batch)
    assert torch.equal(batch.number, before), "the feeder's buffer is left alone"
    own, opp = (dropped.number[:, data.manifest.schema.columns[name]][:, 0] for name in RATINGS)
    known = before[:, data.manifest.schema.columns["opp_rating"]][:, 0] > 0
    assert torch.equal(own[known] == 0, opp[known] == 0)
    assert 0.4 < float((own[known] == 0).float().mean()) < 0.6
    others = [place for name in ("turn",) for place in range(data.manifest.schema.number_width)[
        data.manifest.schema.columns[name]]]
    assert torch.equal(dropped.number[:, others], before[:, others])
    assert {*dropped.tensors()} == {*batch.tensors()}
    assert not torch.equal(augment(batch).number, dropped.number), "drawn anew"


def test_a_sequence_loses_its_ratings_in_every_step(shards: Path) -> None:
    data = ShardDataset(shards, "train", steps=range(-3, 1))
    batch = data.batch(np.arange(64))
    dropped = RatingDropout(data.manifest.schema, 0.5, torch.device("cpu"))(batch)
    rating = dropped.number[..., data.manifest.schema.columns["opp_rating"]][..., 0]
    known = batch.number[..., data.manifest.schema.columns["opp_rating"]][..., 0] > 0
    lost = [bool((row == 0).all()) for row, there in zip(rating, known, strict=True) if there.any()]
    kept = [bool((row[there] > 0).all()) for row, there in zip(rating, known, strict=True) if there.any()]
    assert [not each for each in lost] == kept
    assert {*lost} == {True, False}


def test_a_schema_without_ratings_has_none_to_drop(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="schema basic has no field own_rating or opp_rating"):
        train(small_config(make_shards(tmp_path / "shards", battles=10), tmp_path / "run", rating_dropout=0.1))
