"""Training on several processes: the samples, losses and weights of one, whoever stops, resumes or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import environment
from killing import group_of, wait_for_the_others
from rank_processes import Trained, fail, first_numbers_drawn, on_ranks, spoil, trained
from safetensors.torch import load_file
from small_networks import HeadsOptions
from test_training_options import SCHEMA
from training_fixtures import battle_lines, small_config

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import UsageError
from poke_bc.train import TrainConfig
from poke_bc.train import ranks as ranks_module
from poke_bc.train.ranks import Ranks
from poke_bc.train.setup import pick_device
from poke_bc.train.trackers import flat

# One process and two add up the same numbers in another order. The first step's gradients show no more than that; from
# then on AdamW, which divides by what may be nearly nothing, makes more of it.
ROUNDING = {"rtol": 1e-4, "atol": 1e-6}
LATER = {"rtol": 2e-3, "atol": 2e-4}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decisions whose weights are from 0 to 9, so that the slices of a batch weigh differently; a tenth is censored."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    lines = battle_lines(30, 9, seed=3, species=12, forced=False)
    random = np.random.default_rng(4)
    for line in lines:
        for step in line["steps"]:
            step["weight"] = float(random.choice([0, 0, 0.25, 1, 9]))
            step["observation"]["own_can_gimmick"] = [False, False, False, True]
    raw, schema = folder.with_suffix(".jsonl"), folder.with_suffix(".toml")
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    schema.write_text(SCHEMA, "utf-8")
    preprocess([raw], folder, schema=str(schema), workers=1)
    split(folder, val_ratio=0.2, test_ratio=0.0, seed=0, by="battle")
    return folder


def configured(shards: Path, run: Path, *, history: int = 1, **changes: Any) -> TrainConfig:
    """A run of a few epochs, which no batch divides, in float32 and without dropout."""
    return small_config(shards, run, policy=HeadsOptions(history=history), **{
        "batch_size": 30, "epochs": 2.5, "precision": "float32", "eval_every": 10, "loser_weight": 0.5,
        "log_every": 4, **changes})


def whole_batches(ranks: list[Trained], *, killed: bool = False) -> list[list[float]]:
    """The samples of each step, of one rank after the other; `killed`: one of them did not come to the last."""
    return [[*chain(*slices)] for slices in zip(*(each.samples for each in ranks), strict=not killed)]


def metrics(run: Path) -> list[dict[str, float]]:
    """Figures of each line but for times."""
    lines = [flat(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = ("seconds", "samples_per_s", "input_wait_fraction")
    return [{name: value for name, value in line.items() if name not in times} for line in lines]


def assert_close_runs(one: Path, other: Path) -> None:
    """Equal figures and weights, but for rounding."""
    first, second = metrics(one), metrics(other)
    assert [line.keys() for line in first] == [line.keys() for line in second]
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), **LATER)
    ours, theirs = (load_file(run / "last" / "policy" / "policy.safetensors") for run in (one, other))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], **LATER)


@pytest.mark.parametrize("history", [1, 3])
def test_two_ranks_learn_what_one_learns_from_the_same_samples(shards: Path, tmp_path: Path, history: int) -> None:
    one = trained(configured(shards, tmp_path / "one", history=history))
    two = on_ranks(2, trained, configured(shards, tmp_path / "two", history=history))
    assert [one.error, *(each.error for each in two)] == ["", "", ""]
    assert len(one.samples) * 30 % 432, "the last batch would end with an epoch"
    assert whole_batches(two) == one.samples
    assert {len(rows) for each in two for rows in each.samples} == {30 // history // 2}
    np.testing.assert_allclose(two[0].gradients[0], one.gradients[0], **ROUNDING)
    assert_close_runs(tmp_path / "one", tmp_path / "two")
    for each in zip(two[0].weights, two[1].weights, strict=True):
        np.testing.assert_array_equal(*each, "the ranks have drifted apart")
    assert two[0].result == two[1].result
    assert all(line["gimmick_loss"] > 0 < line["value_loss"] for line in metrics(tmp_path / "two"))


def test_the_number_of_ranks_may_change_whenever_a_run_goes_on(shards: Path, tmp_path: Path) -> None:
    """And a rank that is told to stop stops all of them after the same step."""
    whole = trained(configured(shards, tmp_path / "whole"))
    config = configured(shards, tmp_path / "run")
    alone = trained(config, False, (0, 7))
    both = on_ranks(2, trained, config, True, (1, 5))
    last = trained(config, True)
    assert alone.error.startswith("Interrupted: stopped after step 7 of ")
    assert both[0].error.startswith("Interrupted: stopped after step 13 of ")  # told in the fifth, agreed in the sixth
    assert (both[1].error, last.error) == ("SystemExit: 130", "")
    assert alone.samples + whole_batches(both) + last.samples == whole.samples
    assert_close_runs(tmp_path / "whole", tmp_path / "run")


def test_two_ranks_that_are_resumed_draw_the_dropout_of_two_that_never_stopped(shards: Path, tmp_path: Path) -> None:
    def config(name: str, **changes: Any) -> TrainConfig:
        return small_config(shards, tmp_path / name, policy={"dropout": 0.3}, epochs=1, batch_size=32, **changes)

    whole = on_ranks(2, trained, config("whole"))
    stopped = on_ranks(2, trained, config("run"), False, (0, 4))
    resumed = on_ranks(2, trained, config("run"), True)
    assert [each.error for each in (*whole, *resumed)] == [""] * 4
    assert "stopped after step 5" in stopped[0].error
    for ours, theirs in zip(whole[0].weights, resumed[0].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    masks = on_ranks(2, first_numbers_drawn, config("other", steps=1))
    assert masks[0] != masks[1]


def test_ranks_that_do_not_divide_a_batch_are_refused_also_on_resume(shards: Path, tmp_path: Path) -> None:
    config = configured(shards, tmp_path / "run", batch_size=32)
    first, *others = on_ranks(3, trained, config)
    assert first.error == "UsageError: batch_size = 32: cannot be shared by 3 processes evenly"
    assert {other.error for other in others} == {"SystemExit: 4"}
    assert not (tmp_path / "run").exists()
    assert trained(config, False, (0, 3)).error.startswith("Interrupted")
    first, *_ = on_ranks(3, trained, config, True)
    assert first.error == "UsageError: batch_size = 32: cannot be shared by 3 processes evenly"
    assert trained(config, True).error == ""


@pytest.mark.parametrize(("disturb", "first", "second"), [
    (fail, "TrainingError: another process of this training has ended", "ShardError: a shard is gone"),
    (spoil, "TrainingError: loss, gradient, weights or evaluation are not finite, at some step from 1 to 4",
     "SystemExit: 4")])
def test_what_ends_one_rank_ends_all(shards: Path, tmp_path: Path, disturb: Any, first: str, second: str) -> None:
    found = on_ranks(2, trained, configured(shards, tmp_path / "run"), False, None, disturb)
    assert found[0].error.startswith(first)
    assert found[1].error == second
    assert not (tmp_path / "run" / "last").exists()


# Under torchrun itself


def torchrun(*arguments: str | Path, restarts: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts",
               str(restarts), *map(str, arguments)]
    env = environment()
    env["PYTHONPATH"] += f"{os.pathsep}{Path(__file__).parent}"
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


def flags(config: TrainConfig, folder: Path) -> list[str | Path]:
    (folder / "settings.toml").write_text(config.to_toml())
    return ["train", "--config", folder / "settings.toml"]


def test_a_rank_that_is_killed_again_and_again_is_started_again_and_the_run_completes(shards: Path,
                                                                                      tmp_path: Path) -> None:
    """Killed before the first checkpoint, it begins again; killed after it, it goes on: nobody changes a flag."""
    whole = trained(configured(shards, tmp_path / "whole", epochs=1, save_every=5))
    config = configured(shards, tmp_path / "run", epochs=1, save_every=5)
    process = torchrun(Path(__file__).parent / "rank_processes.py", tmp_path, "0:1:3,1:0:8", *flags(config, tmp_path),
                       restarts=2)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("next: poke-bc evaluate") == 1
    sessions = [whole_batches([Trained(samples_in(tmp_path, restart, rank)) for rank in (0, 1)], killed=restart < 2)
                for restart in (0, 1, 2)]
    begun, again, rest = sessions
    assert begun == whole.samples[:2]
    assert again == whole.samples[:7]
    assert rest == whole.samples[5:]
    assert_close_runs(tmp_path / "whole", tmp_path / "run")


def samples_in(folder: Path, restart: int, rank: int) -> list[list[float]]:
    lines = (folder / f"restart-{restart}-rank-{rank}").read_text().splitlines()
    return [[*map(float, line.split())] for line in lines]


@pytest.fixture
def endless(shards: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A training on two ranks that has begun to learn, and would go on for hours."""
    config = configured(shards, tmp_path / "run", steps=10**7, eval_every=10**6, log_every=5)
    process = torchrun("-m", "poke_bc", "--", *flags(config, tmp_path), "--quiet")
    try:
        written = tmp_path / "run" / "metrics.jsonl"
        while not written.exists() or not written.stat().st_size:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_ctrl_c_on_torchrun_saves_once_and_leaves_no_process(endless: subprocess.Popen[str], tmp_path: Path) -> None:
    ranks = workers(endless.pid)
    assert len(ranks) == 2
    endless.send_signal(signal.SIGINT)
    _, err = endless.communicate(timeout=120)
    for rank in ranks:
        wait_for_the_others(rank)
    assert err.count("stopped after step ") == 1, err
    step = int((tmp_path / "run" / "last").readlink().name.removeprefix("step-"))
    assert f"stopped after step {step} of" in err
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{step:08d}"]


def workers(agent: int) -> list[int]:
    """The processes that an agent has started, each of which leads a group of its own."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(child) for child in children if group_of(int(child))]


# Settings


def test_another_torchrun_does_not_go_on_with_a_run_that_is_there(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    from poke_bc.train.folder import is_of_launch, note_launch

    note_launch(tmp_path, ranks_module.launch())
    assert is_of_launch(tmp_path, ranks_module.launch())
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not is_of_launch(tmp_path, ranks_module.launch())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    note_launch(tmp_path, ranks_module.launch())
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert is_of_launch(tmp_path, ranks_module.launch())
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert not is_of_launch(tmp_path, ranks_module.launch())
    note_launch(tmp_path, ranks_module.launch())
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks up variables in /proc")
@pytest.mark.parametrize(("by_user", "in_process", "threads"), [
    (None, "1", 3), (None, None, 3), ("1", "1", None), ("4", "4", None)])
def test_ranks_share_the_cores_unless_the_user_says_how_many_threads(
        by_user: str | None, in_process: str | None, threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun sets OMP_NUM_THREADS=1 itself where nobody has."""
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    agent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                             env=given | ({"OMP_NUM_THREADS": by_user} if by_user else {}))
    monkeypatch.setattr(os, "getppid", lambda: agent.pid)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(7))
    if in_process is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", in_process)
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    ranks_module._share_cores(Ranks(0, 2, 0, 2))
    agent.communicate(b"\n")
    assert told == ([] if threads is None else [threads])


def test_each_rank_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert [pick_device(name, Ranks(3, 4, 1, 2)) for name in ("auto", "cuda", "cpu")] == [
        torch.device("cuda:1"), torch.device("cuda:1"), torch.device("cpu")]
    assert chosen == [1, 1]
    for name, ranks in (("cuda:0", Ranks(0, 2, 0, 2)), ("cuda", Ranks(0, 3, 0, 3))):
        with pytest.raises(UsageError, match="processes, each of which takes a GPU"):
            pick_device(name, ranks)
