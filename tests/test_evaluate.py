from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_told_in_two_lines, run_cli
from rich.console import Console
from training_fixtures import make_shards, shards, small_config  # noqa: F401 - a fixture

from pipelines.split import split
from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import baselines, evaluate, render
from poke_bc.inspect import inspect_shards
from poke_bc.policy import load_policy
from poke_bc.train import TrainConfig, TrainResult, train
from poke_bc.verify import verify

Run = tuple[Path, TrainResult]


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: F811
    run = tmp_path_factory.mktemp("trained") / "run"
    return run, train(small_config(shards, run, epochs=25, policy={"dropout": 0.0}), progress=False)


@pytest.fixture(scope="module")
def result(trained: Run) -> dict[str, Any]:
    return evaluate(trained[0], device="cpu")


def test_evaluation_finds_what_training_found(trained: Run, result: dict[str, Any]) -> None:
    assert trained[1].val is not None
    assert {name: result[name] for name in trained[1].val} == trained[1].val


def test_figures_do_not_depend_on_the_batch_size(trained: Run, result: dict[str, Any]) -> None:
    for batch_size in (1, 7, 100):
        again = evaluate(trained[0], device="cpu", batch_size=batch_size)
        assert again["nll"] == pytest.approx(result["nll"], rel=1e-5)
        assert (again["top1"], again["top3"]) == (result["top1"], result["top3"])


def test_every_decision_is_in_one_slice_of_each_kind(result: dict[str, Any], shards: Path) -> None:  # noqa: F811
    assert result["decisions"] == len(ShardDataset(shards, "val"))
    assert set(result["slices"]) == {"action", "gimmick", "kind", "legal_actions", "turn"}
    assert set(result["slices"]["kind"]) == {"move", "voluntary switch"}
    for groups in result["slices"].values():
        assert sum(figures["decisions"] for figures in groups.values()) == result["decisions"]
        for name in ("nll", "top1", "top3"):
            summed = sum(figures[name] * figures["decisions"] for figures in groups.values())
            assert summed / result["decisions"] == pytest.approx(result[name], rel=1e-5)
    assert set(result["slices"]["legal_actions"]) <= {"not recorded", *map(str, range(2, 11))}


def test_a_policy_that_learned_beats_every_baseline(result: dict[str, Any]) -> None:
    for figures in result["baselines"].values():
        assert result["top1"] > figures["top1"] + 0.1
        assert result["nll"] < figures["nll"]


def test_baselines_equal_a_plain_reference() -> None:
    random = np.random.default_rng(1)
    action = random.integers(0, 10, 400).astype(np.int8)
    legal = (random.integers(1, 1024, 400) | (1 << action.astype(np.int64))).astype(np.uint16)
    legal[:40] = 0
    counts = random.integers(0, 30, 10)
    counts[[2, 3]] = 0  # never seen in training, and alike
    probs = [(count + 1) / (counts.sum() + 10) for count in counts.tolist()]

    sums = {name: np.zeros(3) for name in ("most_frequent", "uniform_legal", "frequency_legal")}
    for bits, taken in zip(legal.tolist(), action.tolist(), strict=True):
        legal_places = [place for place in range(10) if bits >> place & 1 or not bits]
        for name, places in (("most_frequent", range(10)), ("frequency_legal", legal_places)):
            order = sorted(places, key=lambda place: (-probs[place], place))
            prob = probs[taken] / sum(probs[place] for place in places)
            sums[name] += [-math.log(prob), order[0] == taken, taken in order[:3]]
        count = len(legal_places)
        sums["uniform_legal"] += [math.log(count), 1 / count, min(3, count) / count]
    for name, figures in baselines(action, legal, counts).items():
        assert figures["decisions"] == 400
        assert [figures[key] for key in ("nll", "top1", "top3")] == pytest.approx((sums[name] / 400).tolist())


def test_a_policy_can_be_judged_apart_from_its_run(trained: Run, result: dict[str, Any], shards: Path,  # noqa: F811
                                                   tmp_path: Path) -> None:
    assert evaluate(trained[0] / "best", device="cpu") == result
    assert evaluate(trained[0] / "best" / "policy", device="cpu") == result
    copied = (trained[0] / "best" / "policy").resolve().rename(tmp_path / "policy")
    try:
        with pytest.raises(UsageError, match="outside its run"):
            evaluate(copied)
        of_copy = evaluate(copied, shards, device="cpu")
        assert of_copy.pop("judged") == result["judged"] | {"run": str(copied), "checkpoint": ""}
        assert of_copy.items() <= result.items()
    finally:
        copied.rename((trained[0] / "best").resolve() / "policy")


def test_other_splits_and_checkpoints_can_be_judged(trained: Run, result: dict[str, Any]) -> None:
    assert evaluate(trained[0], split="train", device="cpu")["decisions"] > result["decisions"]
    assert evaluate(trained[0], checkpoint="last", device="cpu")["decisions"] == result["decisions"]
    with pytest.raises(ShardError, match="no decision in split test"):
        evaluate(trained[0], split="test", device="cpu")
    with pytest.raises(UsageError, match="step-7") as caught:
        evaluate(trained[0], checkpoint="step-7", device="cpu")
    for name in ("best", "last", *(path.name for path in (trained[0] / "checkpoints").iterdir())):
        assert name in caught.value.hint


def test_ids_beyond_the_policy_s_tables_are_unknown_to_it(trained: Run, tmp_path: Path) -> None:
    other = make_shards(tmp_path / "other", battles=10, seed=9, val_ratio=0.5, species=40)
    assert evaluate(trained[0], other, device="cpu")["decisions"] > 0


def test_the_tables_name_the_policy_and_its_baselines(result: dict[str, Any]) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(render(result, ["action", "turn"]))
    text = console.export_text()
    for words in ("ECE", "voluntary switches", "uniform legal", "switch 5", "by turn", f"{result['top1']:.1%}"):
        assert words in text
    assert "by kind" not in text


def test_it_says_what_it_judged_and_how_sure_it_is(
        trained: Run, result: dict[str, Any], shards: Path) -> None:  # noqa: F811
    val = ShardDataset(shards, "val")
    battles = len(np.unique(val.column("battle")))
    assert result["judged"] == {
        "run": str(trained[0]), "checkpoint": (trained[0] / "best").readlink().name, "split": "val",
        "shards": str(shards), "data": val.manifest.identity, "battles": battles}
    for name, (low, high) in result["interval"].items():
        assert low < result[name] < high
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(render(result))
    text = console.export_text()
    for words in (str(trained[0]), result["judged"]["checkpoint"], f"val of {shards}, {battles} battles", "interval"):
        assert words in text
    assert [remark for remark in result["remarks"] if not remark.startswith("the value head")] == []


def test_a_policy_worse_than_a_baseline_is_told_so(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    train(small_config(shards, tmp_path / "run", steps=40, lr=2.0, label_smoothing=0.0), progress=False)
    result = evaluate(tmp_path / "run", checkpoint="last", device="cpu")
    assert result["nll"] > result["baselines"]["uniform_legal"]["nll"]
    told = next(each for each in result["remarks"] if "worse than the baseline uniform legal" in each)
    assert f"NLL {result['nll']:.4f} against {result['baselines']['uniform_legal']['nll']:.4f}" in told
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(render(result))
    assert told in console.export_text()


def test_the_share_of_switches_is_told_without_and_with_censored_choices(
        trained: Run, result: dict[str, Any], shards: Path) -> None:  # noqa: F811
    every, policy = ShardDataset(shards, "val", censored=True), load_policy(trained[0])
    chosen, predicted = [], []
    for place in range(len(every)):
        row = every.batch(np.array([place]))
        legal, action = int(row.legal) or 1023, int(row.action)
        bits = 1 << action if action >= 0 else int(row.candidates)
        if legal & 15 and legal >> 4 and bool(bits & 15) != bool(bits >> 4):
            chosen.append(bool(bits >> 4))
            predicted.append(policy(row).logits.softmax(dim=1)[0, 4:].sum().item())
    found = result["switches"]["with_censored"]
    assert found["decisions"] == len(chosen)
    assert found["chosen"] == pytest.approx(np.mean(chosen))
    assert found["predicted"] == pytest.approx(np.mean(predicted), rel=1e-4)
    assert result["switches"]["observed"]["decisions"] < len(chosen)
    shown = inspect_shards(shards).facts["switch_share"]
    assert set(shown) == {"observed", "with_censored"}
    assert 0.3 < shown["observed"] < 0.9


def test_battles_of_another_split_are_not_judged_as_unseen(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "shards")
    train(small_config(folder, tmp_path / "run", steps=5), progress=False)
    evaluate(tmp_path / "run")
    split(folder, val_ratio=0.2, test_ratio=0.2, seed=99, by="battle")
    with pytest.raises(RunError, match="split again since the policy was trained"):
        evaluate(tmp_path / "run")
    evaluate(tmp_path / "run", split="train")


def test_other_shards_are_judged_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(small_config(make_shards(tmp_path / "one"), tmp_path / "run", steps=5), progress=False)
    capsys.readouterr()
    evaluate(tmp_path / "run")
    assert "warning" not in capsys.readouterr().err
    train(small_config(make_shards(tmp_path / "two", seed=3), tmp_path / "onward", init_from=tmp_path / "run", steps=5),
          progress=False)
    other = make_shards(tmp_path / "other", seed=5)
    for run in ("run", "onward"):
        capsys.readouterr()
        evaluate(tmp_path / run, other)
        assert capsys.readouterr().err.count("not the shards that the policy was trained on") == 1


def test_shards_that_were_never_split_can_be_judged_as_a_whole(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_shards(tmp_path / "other", battles=30, seed=5)
    as_test = evaluate(trained[0], other, "val", device="cpu")["decisions"]
    for file in ("split.json", "split.bin"):
        (other / file).unlink()
    with pytest.raises(ShardError, match="not split"):
        evaluate(trained[0], other, device="cpu")
    capsys.readouterr()
    found = evaluate(trained[0], other, "all", device="cpu")
    assert "not the shards that the policy was trained on" in capsys.readouterr().err
    assert found["decisions"] == len(ShardDataset(other)) > as_test
    data = ShardDataset(other)
    counts = np.array(load_policy(trained[0]).trained_on.actions)
    assert found["baselines"] == baselines(data.column("action"), data.column("legal"), counts)


def test_baselines_know_how_often_each_action_was_taken_in_training(
    trained: Run, result: dict[str, Any], shards: Path  # noqa: F811
) -> None:
    train_action = ShardDataset(shards, "train").column("action")
    trained_on = load_policy(trained[0]).trained_on
    assert trained_on.actions == tuple(np.bincount(train_action, minlength=10))
    val = ShardDataset(shards, "val")
    assert result["baselines"] == baselines(val.column("action"), val.column("legal"), np.array(trained_on.actions))


def test_the_shards_it_was_trained_on_are_not_judged_as_a_whole(trained: Run, shards: Path) -> None:  # noqa: F811
    for given in (None, shards):
        with pytest.raises(RunError, match="not all of them are unseen") as caught:
            evaluate(trained[0], given, "all", device="cpu")
        assert "--split val" in caught.value.hint


def test_the_commands_take_any_setting_and_shards_as_a_whole(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    run, other = tmp_path / "run", make_shards(tmp_path / "other", battles=10, seed=5, val_ratio=0.5)
    run_cli("train", "--shards", shards, "--run", run, "--policy", "mlp", "--steps", "3", "--quiet", "--device", "cpu",
            "--set", "policy.width=16", "--set", "batch_size=32", "--set", "precision=float32")
    config = TrainConfig.read(run)
    assert (config.policy.width, config.batch_size, config.steps, config.precision) == (16, 32, 3, "float32")
    found = run_cli("evaluate", run, "--shards", other, "--split", "all", "--device", "cpu", "--json")
    assert found.json["decisions"] == len(ShardDataset(other))
    assert_told_in_two_lines(run_cli("train", "--set", "policy.widht=16"), "unknown setting 'widht'")


def test_a_folder_whose_name_is_not_utf_8_holds_a_run_as_any_other(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff[1]")
    config = small_config(make_shards(folder / "shards", battles=12), folder / "run", steps=4)
    train(config, progress=False)
    assert evaluate(folder / "run")["decisions"] > 0
    assert train(TrainConfig.read(folder / "run"), resume=True, progress=False)
    assert verify(folder / "run").differences == []
