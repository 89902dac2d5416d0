from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training_fixtures import make_shards, shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.checkpoint as checkpoint
import poke_bc.train.loop as loop
import poke_bc.train.loss as loss_module
import poke_bc.train.step as step_module
from poke_bc.contract.errors import PokeBCError, RunError, ShardError, TrainingError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import evaluate
from poke_bc.metrics import Scores
from poke_bc.policy import create_policy, load_policy
from poke_bc.policy.mlp import MLPOptions
from poke_bc.train import Interrupted, TrainConfig, resolve, train
from poke_bc.train.checkpoint import damage
from poke_bc.train.folder import working_alone
from poke_bc.train.schedule import Schedule
from poke_bc.train.setup import make_optimizer
from poke_bc.train.trackers import MetricsFile


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def untimed(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items()
            if name not in ("seconds", "samples_per_s", "input_wait_fraction")}


def weights(run: Path, link: str = "last") -> dict[str, torch.Tensor]:
    return load_file(run / link / "policy" / "policy.safetensors")


def assert_equal_runs(one: Path, other: Path) -> None:
    """The same weights bit by bit, the same figures, the same best checkpoint."""
    for link in ("last", "best"):
        assert (one / link).readlink() == (other / link).readlink()
        first, second = weights(one, link), weights(other, link)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert [untimed(line) for line in metrics(one)] == [untimed(line) for line in metrics(other)]


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(small_config(shards, run), progress=False)
    return run


# Learning


def test_loss_falls_and_the_result_is_the_best_checkpoint_s(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    config = small_config(shards, tmp_path / "run", epochs=15, policy={"dropout": 0.0}, label_smoothing=0.0)
    result = train(config, progress=False)
    val = [line["val"] for line in metrics(tmp_path / "run") if "val" in line]
    assert val[-1]["nll"] < 0.8 * val[0]["nll"]
    assert metrics(tmp_path / "run")[-1]["loss"] < 0.7 * metrics(tmp_path / "run")[0]["loss"]
    assert result.val == min(val, key=lambda figures: figures["nll"])
    assert set(result.to_dict()) == {"steps", "samples", "seconds", "samples_per_s", "input_wait_fraction",
                                     "train_loss", "val", "run", "precision"}
    assert set(val[0]) == {"nll", "top1", "top3", "ece", "decisions"}
    assert result.samples == result.steps * 64
    card = (tmp_path / "run" / "best" / "policy" / "README.md").read_text("utf-8")
    for name, scores in evaluate(tmp_path / "run")["baselines"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {name.replace('_', ' ')} |"))
        assert f"| {scores['top1']:.1%} | {scores['top3']:.1%} | {scores['nll']:.4f} |" in row


def test_one_batch_can_be_memorised(shards: Path) -> None:  # noqa: F811
    data = ShardDataset(shards, "train")
    config = small_config(shards, Path("unused"), label_smoothing=0.0, lr=1e-2)
    torch.manual_seed(0)
    policy = create_policy("mlp", data.manifest.schema, width=64, blocks=1, dropout=0.0)
    optimizer = make_optimizer(policy, config)
    batch = data.batch(np.arange(256))
    for _ in range(100):
        step_module.train_step(policy, optimizer, batch, config, bfloat16=False)
    taken = policy.act(batch, sample=False)
    assert (taken == batch.action).float().mean() > 0.99


def test_censored_choices_and_the_value_head_train_when_asked(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    config = small_config(shards, tmp_path / "run", epochs=1, censored="marginal", value_weight=0.5,
                          policy={"value_head": True})
    result = train(config, progress=False)
    assert result.val is not None
    assert result.val["decisions"] == len(ShardDataset(shards, "val"))
    assert len(ShardDataset(shards, "train", censored=True)) > len(ShardDataset(shards, "train"))
    assert load_policy(tmp_path / "run").options.value_head


def test_bfloat16_trains_on_the_cpu_too(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    assert train(small_config(shards, tmp_path / "run", steps=3, precision="bfloat16"), progress=False).steps == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_learns_as_on_the_cpu(shards: Path, whole: Path, tmp_path: Path) -> None:  # noqa: F811
    train(small_config(shards, tmp_path / "run", device="cuda"), progress=False)
    assert metrics(tmp_path / "run")[-1]["loss"] == pytest.approx(metrics(whole)[-1]["loss"], rel=0.1)


def test_weight_decay_is_on_the_matrices_of_linear_layers_alone(shards: Path) -> None:  # noqa: F811
    policy = create_policy("mlp", ShardDataset(shards).manifest.schema, width=16, blocks=2)
    decayed, others = make_optimizer(policy, small_config(shards, Path("unused"))).param_groups
    assert all(weight.ndim == 2 for weight in decayed["params"])
    assert decayed["weight_decay"] > 0 == others["weight_decay"]
    assert any(weight is policy.ids.table.weight for weight in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(policy.parameters()))


# Schedule


def test_learning_rate_warms_up_and_ends_at_its_floor() -> None:
    def rates_of(warmup: float) -> list[float]:
        schedule = Schedule(TrainConfig(steps=100, lr=2.0, warmup=warmup, min_lr_ratio=0.05), rows=1)
        return [schedule.rate(step) for step in range(100)]

    rates = rates_of(0.1)
    assert np.argmax(rates) == 9
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.1)
    assert np.all(np.diff(rates[9:]) < 0)
    assert rates == rates_of(10)


def test_a_schedule_covers_the_configured_epochs() -> None:
    schedule = Schedule(TrainConfig(epochs=2.5, batch_size=100, log_every=7), rows=1001)
    assert schedule.total == 26
    assert [step for step in range(30) if schedule.evaluates(step)] == [11, 22, 26, 27, 28, 29]
    assert [step for step in range(12) if schedule.logs(step)] == [7, 11]
    schedule = Schedule(TrainConfig(steps=5, save_every=2), rows=10**9)
    assert schedule.total == 5
    assert [step for step in range(6) if schedule.saves(step)] == [2, 4, 5]


# Resuming


def test_the_order_of_samples_goes_on_where_it_was(shards: Path, tmp_path: Path,  # noqa: F811
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    original = step_module.train_step

    def watched(policy: Any, optimizer: Any, batch: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(batch.number.double().sum(dim=1).tolist())
        if interrupt_at == len(seen):
            signal.raise_signal(signal.SIGINT)
        return original(policy, optimizer, batch, *args, **kwargs)

    monkeypatch.setattr(step_module, "train_step", watched)
    interrupt_at = None
    train(small_config(shards, tmp_path / "whole"), progress=False)
    undisturbed = seen.copy()
    seen.clear()
    interrupt_at = 13
    with pytest.raises(Interrupted, match="after step 13"):
        train(small_config(shards, tmp_path / "run"), progress=False)
    train(small_config(shards, tmp_path / "run"), resume=True, progress=False)
    assert seen == undisturbed
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


def test_ctrl_c_ends_the_step_saves_and_gives_the_handler_back(shards: Path, tmp_path: Path,  # noqa: F811
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    at_step(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="--resume") as caught:
        train(small_config(shards, tmp_path / "run"), progress=False)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "run" / "last").readlink().name == "step-00000003"
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_second_ctrl_c_stops_at_once(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    at_step(monkeypatch, 3, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt) as caught:
        train(small_config(shards, tmp_path / "run"), progress=False)
    assert not isinstance(caught.value, Interrupted)
    assert not (tmp_path / "run" / "last").exists()


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Do something in the middle of a step."""
    original, calls = step_module.train_step, []

    def disturbed(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(1)
        result = original(*args, **kwargs)
        if len(calls) == step:
            action()
        return result

    monkeypatch.setattr(step_module, "train_step", disturbed)


def test_a_finished_run_returns_its_result_again(shards: Path, whole: Path,  # noqa: F811
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    again = train(small_config(shards, whole), resume=True, progress=False)
    assert again.to_dict().items() <= json.loads((whole / "result.json").read_text()).items()
    assert "finished" in capsys.readouterr().err
    assert (whole / "metrics.jsonl").read_bytes() == before


def test_training_and_validation_rows_share_open_shards(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    trainer = loop.Trainer(small_config(shards, tmp_path / "run"), checkpoint.Checkpoints(tmp_path / "run"))
    assert trainer.val.shards is trainer.data.shards


def test_a_run_is_never_overwritten(shards: Path, whole: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="already contains a run") as caught:
        train(small_config(shards, whole), progress=False)
    assert "--resume" in caught.value.hint


@pytest.mark.parametrize(("change", "words"), [
    ({"seed": 1}, "seed was 42, is 1"), ({"batch_size": 32}, "batch_size was 64, is 32"),
    ({"policy": {"width": 16}}, r"policy\.width was 32, is 16"), ({"lr": 9.0}, "lr was 0.003, is 9.0"),
])
def test_a_run_goes_on_only_as_what_it_was(shards: Path, whole: Path, change: dict[str, int],  # noqa: F811
                                           words: str) -> None:
    with pytest.raises(UsageError, match=words):
        train(small_config(shards, whole, **change), resume=True, progress=False)


@pytest.fixture
def stopped(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A run that was interrupted at its third step."""
    at_step(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        train(small_config(shards, tmp_path / "run"), progress=False)
    return tmp_path / "run"


def test_what_does_not_affect_the_weights_may_change_on_resume(shards: Path, whole: Path, stopped: Path) -> None:  # noqa: F811
    train(small_config(shards, stopped, keep=99, save_every=2, tensorboard=True), resume=True, progress=False)
    assert_equal_runs(whole, stopped)
    steps = metrics(stopped)[-1]["step"]
    kept = {path.name for path in (stopped / "checkpoints").iterdir()}
    assert kept >= {f"step-{step:08d}" for step in (3, *range(4, steps + 1, 2))}
    assert list((stopped / "tensorboard").iterdir())


def test_a_run_does_not_go_on_with_other_data(stopped: Path, tmp_path: Path) -> None:
    other = make_shards(tmp_path / "other", battles=20, seed=5)
    with pytest.raises(RunError, match=r"other data: data was .*decisions was"):
        train(small_config(other, stopped), resume=True, progress=False)


def test_a_damaged_checkpoint_is_named_and_not_resumed(shards: Path, stopped: Path) -> None:  # noqa: F811
    for name in ("training_state/state.pt", "policy/policy.safetensors", "digests.json"):
        path = stopped / "last" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
        assert len(damage((stopped / "last").resolve())) == 1
        with pytest.raises(RunError, match=name):
            train(small_config(shards, stopped), resume=True, progress=False)
        path.write_bytes(whole)
    assert not damage((stopped / "last").resolve())


def test_resuming_nothing_is_refused(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="no run to resume"):
        train(small_config(shards, tmp_path / "nothing"), resume=True, progress=False)


# Stopping


def score_in_turn(monkeypatch: pytest.MonkeyPatch, nlls: list[float]) -> None:
    """Let the evaluations find these losses, one after the other."""
    left = iter(nlls)
    monkeypatch.setattr(loop, "score_policy", lambda *_, **__: Scores(
        np.array([next(left)], np.float32), np.array([0]), *np.full((2, 1), 0.5, np.float32)))


def test_early_stopping_waits_for_its_patience(shards: Path, tmp_path: Path,  # noqa: F811
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    score_in_turn(monkeypatch, [3, 2, 4, 1, 5, 5, 5])
    result = train(small_config(shards, tmp_path / "run", steps=50, eval_every=2, patience=2), progress=False)
    assert result.steps == 12
    assert result.val is not None
    assert result.val["nll"] == 1
    assert (tmp_path / "run" / "best").readlink().name == "step-00000008"


def test_the_newest_the_last_and_the_best_checkpoints_are_kept(shards: Path, tmp_path: Path,  # noqa: F811
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    score_in_turn(monkeypatch, [3, 1, 2, 2, 2, 2])
    train(small_config(shards, tmp_path / "run", steps=12, eval_every=2, keep=2), progress=False)
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step-00000004", "step-00000010", "step-00000012"]
    assert (tmp_path / "run" / "best").readlink() == Path("checkpoints/step-00000004")
    assert (tmp_path / "run" / "last").readlink() == Path("checkpoints/step-00000012")


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
        shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    original = loss_module.imitation_loss

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        loss = original(*args, **kwargs)
        return loss._replace(total=loss.total * float("nan")) if len(calls) == 6 else loss

    calls: list[int] = []
    monkeypatch.setattr(loss_module, "imitation_loss", spoilt)
    with pytest.raises(TrainingError, match=r"some step from 6 to 8; the last good checkpoint is step-00000004"):
        train(small_config(shards, tmp_path / "run", save_every=4), progress=False)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]


def test_without_a_validation_split_a_run_trains_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_shards(tmp_path / "shards", battles=10, val_ratio=0.0)
    result = train(small_config(folder, tmp_path / "run", steps=4), progress=False)
    assert result.val is None
    assert "without evaluation" in capsys.readouterr().err
    assert not (tmp_path / "run" / "best").exists()
    assert load_policy(tmp_path / "run").name == "mlp"


def test_shards_without_anything_to_learn_are_refused(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "shards", battles=10, forced=True)
    with pytest.raises(ShardError, match="no decision to learn from"):
        train(small_config(folder, tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made_is_named(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        train(small_config(shards, tmp_path / "file" / "run"), progress=False)


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint_whole(shards: Path, tmp_path: Path,  # noqa: F811
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = checkpoint.save_policy, []

    def full(*args: Any) -> None:
        original(*args)
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save_policy", full)
    with pytest.raises(RunError, match="No space left on device"):
        train(small_config(shards, tmp_path / "run", save_every=4), progress=False)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    assert not damage((tmp_path / "run" / "last").resolve())
    assert train(small_config(shards, tmp_path / "run", save_every=4), resume=True, progress=False).steps > 8


# Trackers


def test_a_failing_tracker_warns_once_and_the_run_goes_on(shards: Path, tmp_path: Path,  # noqa: F811
                                                          monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(MetricsFile, "log", fail)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert train(small_config(shards, tmp_path / "run", wandb=True), progress=False).val is not None
    warnings = [line for line in capsys.readouterr().err.splitlines() if "switched off" in line]
    assert len(warnings) == 2
    assert "the disk is full" in warnings[1]
    assert "poke-bc[wandb]" in warnings[0]


def test_tensorboard_and_wandb_files_appear(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    code = """
import sys
from pathlib import Path
from training_fixtures import small_config
from poke_bc.train import train
train(small_config(Path(sys.argv[1]), Path(sys.argv[2]), steps=6, tensorboard=True, wandb=True), progress=False)
"""
    done = subprocess.run([sys.executable, "-c", code, str(shards), str(tmp_path / "run")], check=True,
                          capture_output=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "WANDB_MODE": "offline"})
    assert b"switched off" not in done.stderr
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.*"))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))


def test_progress_goes_to_stderr_alone(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    train(small_config(shards, tmp_path / "run", steps=30, eval_every=10))
    shown = capsys.readouterr()
    assert shown.out == ""
    parameters = sum(weight.numel() for weight in load_policy(tmp_path / "run").parameters())
    assert f"mlp: {parameters:,} parameters" in shown.err
    evaluations = [line for line in shown.err.splitlines() if "val nll" in line]
    assert len(evaluations) == 3
    assert len(set(evaluations[2]) & set("▁▂▃▄▅▆▇█")) > 1, "the curve of all three"


# Configuration


def test_flags_win_over_assignments_these_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('lr = 1\nbatch_size = 8\nseed = 7\nrun = "elsewhere"\n[policy]\nwidth = 64\nblocks = 1\n')
    config = resolve({"batch_size": 16, "epochs": None, "policy": "mlp"}, file,
                     assignments=["seed=8", "policy.width=96", "batch_size=32", "censored=marginal"])
    assert (config.lr, config.batch_size, config.run, config.epochs) == (1.0, 16, Path("elsewhere"), 6.0)
    assert (config.seed, config.censored) == (8, "marginal")
    assert config.policy == MLPOptions(width=96, blocks=1)


def test_the_configuration_of_a_run_is_what_it_was_started_with(whole: Path, shards: Path) -> None:  # noqa: F811
    made = small_config(shards, whole, precision="float32")  # what "auto" resolved to: the network is narrow
    assert resolve({}, whole / "config.toml") == made
    assert resolve({"run": whole}, resume=True) == made


@pytest.mark.parametrize(("text", "words", "hint"), [
    ("batchsize = 8", "unknown setting 'batchsize'", "did you mean 'batch_size'?"),
    ("widht = 8", "unknown setting 'widht'", "did you mean 'policy.width'?"),
    ("[policy]\nwidht = 8", "policy 'entity': unknown setting 'widht'", "did you mean 'width'?"),
    ('[policy]\nname = "mpl"', r"policy\.name = 'mpl': there is no such network", "did you mean 'mlp'?"),
    ("[policy]\nwidth = 0", r"policy\.width = 0: expected int >= 1", "docs/settings.md"),
    ('policy = "mlp"', "policy = 'mlp': expected object, got str", "docs/settings.md"),
    ('lr = "fast"', "lr = 'fast': expected float, got str", "docs/settings.md"),
    ("steps = 1.5", r"steps = 1\.5: expected int \| null, got float", "docs/settings.md"),
    ("epochs = 0", "epochs = 0: expected float > 0", "docs/settings.md"),
    ("epochs = inf", "epochs = inf: expected float <= 1000000", "docs/settings.md"),
    ("epochs = 1e18", "epochs = 1e\\+18: expected float <= 1000000", "docs/settings.md"),
    ("steps = 1e21", "steps = 1e\\+21: ", "docs/settings.md"),
    ("warmup = inf", "warmup = inf: expected float < ", "docs/settings.md"),
    ("seed = 18446744073709551616", "seed = 18446744073709551616: ", "docs/settings.md"),
    ("batch_size = 1e12", "batch_size = 1000000000000.0: ", "docs/settings.md"),
    ("keep = 99999999999999999999", "keep = 99999999999999999999: ", "docs/settings.md"),
    ("[policy]\nwidth = 1e9", r"policy\.width = 1000000000\.0: ", "docs/settings.md"),
    ('[policy]\nname = "mlp"\nblocks = 1000000', r"policy\.blocks = 1000000: expected int <= 1000",
     "docs/settings.md"),
    ("[policy]\nembedding = 1000000", r"policy\.embedding = 1000000: expected int <= 4096", "docs/settings.md"),
    ("label_smoothing = 1.0", r"label_smoothing = 1\.0: expected float < 1", "docs/settings.md"),
    ("lr = nan", "lr = nan: expected float > 0", "docs/settings.md"),
    ('censored = "guess"', "expected one of skip, marginal", "docs/settings.md"),
    ('precision = "float16"', "expected one of auto, float32, bfloat16", "docs/settings.md"),
    ("shards = 3", "shards = 3: expected Path, got int", "docs/settings.md"),
    ("window = 1023", "window = 1023: expected at least 1024", "order"),
    ("window = 1e18", r"window = 1e\+18: expected int", "docs/settings.md"),
    ("lr = ", "not a readable TOML file", "lr"),
])
def test_an_invalid_configuration_is_refused(tmp_path: Path, text: str, words: str, hint: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(PokeBCError, match=words) as caught:
        resolve({}, tmp_path / "mine.toml")
    assert isinstance(caught.value, UsageError)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("text", "words", "hint"), [
    ("policy.widht=8", "policy 'entity': unknown setting 'widht'", "did you mean 'width'?"),
    ("leraning_rate=8", "unknown setting 'leraning_rate'", "one of: shards"),
    ("lr=fast", "lr = 'fast': expected float, got str", "docs/settings.md"),
    ("lr=1e--3", "lr = '1e--3': expected float, got str", "docs/settings.md"),
    ("lr", "--set lr: not of the form NAME=VALUE", "--set policy.width=384"),
    ("=3", "--set =3: not of the form NAME=VALUE", "--set policy.width=384"),
])
def test_an_invalid_assignment_is_refused(text: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        resolve({}, assignments=[text])
    assert hint in caught.value.hint


@given(settings=st.fixed_dictionaries({}, optional={
    "lr": st.floats(1e-9, 1e8), "steps": st.integers(1, 10**9), "run": st.text().map(Path), "wandb_project": st.text(),
    "wandb": st.booleans(), "order": st.sampled_from(["global", "window"]), "policy": st.builds(
        MLPOptions, width=st.integers(1, 1 << 16), dropout=st.floats(0, 0.99), value_head=st.booleans())}))
def test_a_configuration_comes_back_from_its_toml(settings: dict[str, Any]) -> None:
    config = TrainConfig(**settings)
    assert TrainConfig.of(tomllib.loads(config.to_toml())) == config


def test_a_device_that_is_not_there_is_refused(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="cannot be used"):
        train(small_config(shards, tmp_path / "run", device="cuda:99"), progress=False)


def test_two_trainings_cannot_write_to_one_run(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    with working_alone(tmp_path / "run"):
        with pytest.raises(RunError, match="another training process is writing to it"):
            train(small_config(shards, tmp_path / "run"), progress=False)
        assert (tmp_path / "run" / ".lock").exists()
    train(small_config(shards, tmp_path / "run", steps=2), progress=False)
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no shards here"):
        train(small_config(tmp_path / "nothing", tmp_path / "runs" / "run"), progress=False)
    assert not (tmp_path / "runs" / "run").exists()


def test_a_run_finds_its_shards_from_anywhere(shards: Path, tmp_path: Path,  # noqa: F811
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shards.parent)
    train(small_config(Path(shards.name), tmp_path / "run", steps=2), progress=False)
    monkeypatch.chdir(tmp_path)
    assert evaluate(tmp_path / "run")["decisions"] > 0
