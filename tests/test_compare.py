"""Runs compared on the same decisions, and policies with all heads and with a history."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks  # noqa: F401 - the class is loaded by name
import torch
from command_line import assert_told_in_two_lines, run_cli
from rich.console import Console
from singles_rows import make_singles
from small_networks import HeadsOptions
from training_fixtures import make_shards, small_config

from pipelines.split import split
from poke_bc.contract.errors import UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import compare, evaluate, open_rows, open_subject, predict, render, render_comparison
from poke_bc.evaluate.compare import MOST_RUNS
from poke_bc.evaluate.slices import KINDS
from poke_bc.policy import load_policy
from poke_bc.train import TrainConfig, train


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_singles(tmp_path_factory.mktemp("singles") / "shards")


def heads_config(shards: Path, run: Path, **changes: Any) -> TrainConfig:
    policy = HeadsOptions(history=changes.pop("history", 3))
    return TrainConfig(**{"shards": shards, "run": run, "policy": policy, "steps": 60, "batch_size": 96, "lr": 1e-2,
                          "device": "cpu", "value_weight": 0.5, **changes})


@pytest.fixture(scope="module")
def runs(singles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that has learned, with all heads and a history, and one that has not."""
    folder = tmp_path_factory.mktemp("runs")
    train(heads_config(singles, folder / "good"), progress=False)
    train(heads_config(singles, folder / "poor", steps=1, history=1, seed=7), progress=False)
    return folder / "good", folder / "poor"


@pytest.fixture(scope="module")
def compared(runs: tuple[Path, Path]) -> dict[str, Any]:
    return compare(runs, device="cpu")


def shown(renderable: Any, width: int = 80) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_a_policy_with_a_history_is_judged_by_the_decision_that_was_sampled(runs: tuple[Path, Path],
                                                                            singles: Path) -> None:
    policy = load_policy(runs[0])
    data = open_rows(policy, open_subject(runs[0], device="cpu").shards, "val", every_row=True)
    assert data.steps == range(-2, 1)
    predicted = predict(policy, data, device=torch.device("cpu"), batch_size=16)
    assert len(predicted) == len(data)
    assert predicted.value_N is not None
    assert predicted.gimmick_NMG is not None
    with torch.inference_mode():
        for row in range(0, len(data), 7):
            output = policy(data.batch(np.array([row])))
            assert predicted.probability_NA[row] == pytest.approx(output.logits[0, 2].softmax(dim=0).numpy(), abs=1e-6)
            assert predicted.value_N[row] == pytest.approx(output.value[0, 2].item(), abs=1e-5)
            assert predicted.gimmick_NMG[row] == pytest.approx(output.gimmick[0, 2].softmax(dim=1).numpy(), abs=1e-6)
            assert predicted.best_N[row] == output.logits[0, 2].argmax()


def test_all_heads_are_judged(runs: tuple[Path, Path], singles: Path) -> None:
    result = evaluate(runs[0], device="cpu")
    assert {*result["slices"]} == set(KINDS)
    for groups in result["slices"].values():
        assert sum(each["decisions"] for each in groups.values()) == result["decisions"]
    value, gimmick, voluntary = result["value"], result["gimmick"], result["voluntary_switches"]
    assert value["decisions"] == result["decisions"] == len(ShardDataset(singles, "val"))
    assert value["gain"] > 0  # who wins is ahead by one
    assert 0 < gimmick["rate"] < 1
    assert 0 < gimmick["auc"] < 1
    assert voluntary["decisions"] == result["slices"]["kind"]["voluntary switch"]["decisions"]
    assert result["slices"]["kind"]["voluntary switch"]["top3"] == voluntary["top3"]
    assert result["baselines"]["strongest_move"]["top1"] > 0.4
    text = shown(render(result))
    for words in ("value head", "gimmick head", "voluntary switches", "baseline: strongest move", "--slices all"):
        assert words in text
    assert "by kind" not in text
    assert max(map(len, text.splitlines()[2:])) <= 80
    every_slice = shown(render(result, KINDS))
    assert every_slice.count("\nby ") == len(KINDS)


def test_a_policy_compared_with_itself_is_exactly_the_same(runs: tuple[Path, Path]) -> None:
    [pair] = compare([runs[0], runs[0]], device="cpu")["pairs"]
    assert pair["difference"] == {"nll": 0, "top1": 0, "top3": 0}
    assert pair["interval"] == {"nll": [0, 0], "top1": [0, 0], "top3": [0, 0]}
    assert (pair["differ"], pair["right"]["only_a"], pair["right"]["only_b"]) == (0, 0, 0)
    assert (pair["better"], pair["verdict"]) == (None, "A and B predict the same")


def test_a_comparison_is_the_difference_of_the_results(runs: tuple[Path, Path], compared: dict[str, Any]) -> None:
    assert compared["results"] == [evaluate(run, device="cpu") for run in runs]
    good, poor = compared["results"]
    [pair] = compared["pairs"]
    for name in ("nll", "top1", "top3"):
        assert pair["difference"][name] == pytest.approx(good[name] - poor[name], abs=1e-6)
        assert pair["interval"][name][0] < pair["difference"][name] < pair["interval"][name][1]
    right, total = pair["right"], good["decisions"]
    assert sum(right.values()) == total
    assert (right["both"] + right["only_a"]) / total == pytest.approx(good["top1"])
    assert (right["both"] + right["only_b"]) / total == pytest.approx(poor["top1"])
    assert pair["differ"] >= (right["only_a"] + right["only_b"]) / total
    for kind, groups in pair["slices"].items():
        for name, each in groups.items():
            expected = good["slices"][kind][name]["nll"] - poor["slices"][kind][name]["nll"]
            assert each["difference"]["nll"] == pytest.approx(expected, abs=1e-6)
    assert pair["better"] == "A"
    assert pair["verdict"].startswith("A is better: NLL lower by ")
    text = shown(render_comparison(compared, ["kind"]))
    assert pair["verdict"][:60] in text
    assert "by kind of choice: A - B" in text


def test_the_other_way_round_the_other_one_is_better(runs: tuple[Path, Path], compared: dict[str, Any]) -> None:
    found = compare([*reversed(runs), runs[0]], device="cpu")
    back, again = found["pairs"]
    assert (back["names"], again["names"]) == (["A", "B"], ["A", "C"])
    assert (back["better"], again["better"]) == ("B", "C")
    assert back["difference"] == {name: -value for name, value in compared["pairs"][0]["difference"].items()}
    assert again["difference"] == back["difference"]


def test_two_runs_alike_show_no_difference(singles: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    train(heads_config(singles, tmp_path / "run", seed=5), progress=False)
    [pair] = compare([runs[0], tmp_path / "run"], device="cpu")["pairs"]
    assert pair["differ"] > 0
    clear = [name for name in ("nll", "top1") if not pair["interval"][name][0] <= 0 <= pair["interval"][name][1]]
    assert ("no difference" in pair["verdict"]) == (len(clear) < 2)


def test_runs_without_common_decisions_are_refused(runs: tuple[Path, Path], singles: Path, tmp_path: Path) -> None:
    other = make_singles(tmp_path / "other", battles=12, seed=9)
    train(heads_config(other, tmp_path / "run", steps=2), progress=False)
    with pytest.raises(UsageError, match="run: was trained on other shards") as caught:
        compare([runs[0], tmp_path / "run"], device="cpu")
    assert "--shards" in caught.value.hint
    assert compare([runs[0], tmp_path / "run"], other, "train", device="cpu")["pairs"]

    copy = tmp_path / "copy"
    shutil.copytree(singles, copy)
    split(copy, val_ratio=0.3, test_ratio=0.0, seed=3, by="battle")
    train(heads_config(copy, tmp_path / "elsewhere", steps=2), progress=False)
    with pytest.raises(UsageError, match=r"copy: the same rows as .* but split in another way"):
        compare([runs[0], tmp_path / "elsewhere"], device="cpu")

    basic = make_shards(tmp_path / "basic", battles=12)
    train(small_config(basic, tmp_path / "basic_run", steps=2), progress=False)
    with pytest.raises(UsageError, match=r"basic_run: reads another schema than .*good"):
        compare([runs[0], tmp_path / "basic_run"], device="cpu")
    with pytest.raises(UsageError, match="at most 26"):
        compare([runs[0]] * (MOST_RUNS + 1))


def test_the_leak_check_judges_the_same_decisions(runs: tuple[Path, Path], singles: Path) -> None:
    leaks = evaluate(runs[0], device="cpu", leaks=True)["leaks"]
    data = ShardDataset(singles, "val")
    several = (np.bitwise_count(data.column("legal") & 15) > 1) & (data.column("action") < 4)
    assert {each["decisions"] for each in leaks["checks"]} == {int(several.sum())}
    assert 0 < leaks["all_known"] < 1
    assert leaks["policy"] > leaks["checks"][0]["accuracy"]  # a random one
    with pytest.raises(UsageError, match="learns from the train split"):
        evaluate(runs[0], split="train", leaks=True)
    with pytest.raises(UsageError, match="learns from the train split"):
        compare(runs, split="all", leaks=True)


def test_the_command_compares_and_shows_slices(singles: Path, tmp_path: Path) -> None:
    runs = tmp_path / "good", tmp_path / "poor"
    for run, steps in zip(runs, (60, 1), strict=True):
        train(small_config(singles, run, steps=steps), progress=False)
    found = run_cli("evaluate", *runs, "--device", "cpu", "--json").json
    assert [result["judged"]["run"] for result in found["results"]] == [*map(str, runs)]
    text = run_cli("evaluate", *runs, "--device", "cpu", "--slices", "kind", "--slices", "turn,rating").stdout
    for words in ("A is better", "top-1; they have different favourites", "by the player's rating: A - B"):
        assert words in text
    text = run_cli("evaluate", runs[0], "--device", "cpu", "--slices", "all", "--leaks").stdout
    assert text.count("\nby ") == len(KINDS)
    assert "leak check: choices among several moves" in text
    assert_told_in_two_lines(run_cli("evaluate", runs[0], "--slices", "kinds"), "no slices by 'kinds'", code=2)
    told = run_cli("evaluate", runs[0], "--split", "everything")
    assert_told_in_two_lines(told, "no split 'everything'", code=2)
    assert "all" in told.stderr


def test_kinds_of_slices_that_the_data_lacks_are_told(tmp_path: Path) -> None:
    train(small_config(make_shards(tmp_path / "shards", battles=12), tmp_path / "run", steps=2), progress=False)
    result = evaluate(tmp_path / "run", device="cpu")
    assert "by phase: nothing in these shards tells it" in shown(render(result, ["phase", "turn"]))
    assert (result["gimmick"], result["leaks"]) == (None, None)
    assert "interval: too few battles" in shown(render(result))
