"""A run's folder: nobody else's files are touched, settings and figures are verified, copies go on."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run_cli
from safetensors.torch import load_file
from training_fixtures import make_shards, shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.loss as loss_module
import poke_bc.train.step as step_module
from poke_bc.contract.errors import PokeBCError, RunError, TrainingError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import evaluate
from poke_bc.inspect import inspect_run
from poke_bc.train import Interrupted, TrainConfig, TrainResult, resolve, train
from poke_bc.train.checkpoint import Checkpoints
from poke_bc.train.config import changes_on_resume
from poke_bc.train.folder import working_alone
from poke_bc.train.schedule import Schedule
from poke_bc.train.trackers import drop_after
from poke_bc.verify import verify

Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def finished(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A run of 4 epochs."""
    run = tmp_path_factory.mktemp("finished") / "run"
    train(small_config(shards, run, epochs=4), progress=False)
    return run


@pytest.fixture
def stopped(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A run that was told to end in its third step, which a process manager does with SIGTERM."""
    original, calls = step_module.train_step, []

    def told(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return original(*args, **kwargs)

    monkeypatch.setattr(step_module, "train_step", told)
    with pytest.raises(Interrupted):
        train(small_config(shards, tmp_path / "run"), progress=False)
    return tmp_path / "run"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "policy" / "policy.safetensors")


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_sigterm_ends_the_step_and_saves(stopped: Path) -> None:
    assert (stopped / "last").readlink().name == "step-00000003"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# Whose files


def test_a_train_that_fails_leaves_the_other_runs_in_the_folder_that_it_made(tmp_path: Path) -> None:
    runs = tmp_path / "new" / "runs"
    with contextlib.suppress(TrainingError), working_alone(runs / "a"):
        with working_alone(runs / "b"):
            (runs / "b" / "config.toml").write_text("b")
        raise TrainingError("a fails", hint="")
    assert [path.name for path in runs.iterdir()] == ["b"]
    assert (runs / "b" / "config.toml").read_text() == "b"


def test_a_train_that_fails_removes_what_it_made_if_that_is_empty(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with contextlib.suppress(TrainingError), working_alone(tmp_path / "runs" / "deep" / "a"):
        raise TrainingError("a fails", hint="")
    assert not [*(tmp_path / "runs").iterdir()]


def test_what_a_user_keeps_beside_the_checkpoints_stays(shards: Path, stopped: Path) -> None:  # noqa: F811
    kept = [stopped / "checkpoints" / name for name in ("step-final", "zzz", "step-0000", "step-00000003.bak",
                                                        "step-99999999", ".tmp-notes", "step-00000000000000x")]
    for folder in kept:
        folder.mkdir()
        (folder / "notes").write_text("mine")
    late = stopped / "checkpoints" / "step-00000004"  # what a killed session leaves
    shutil.copytree(stopped / "checkpoints" / "step-00000003", late)
    train(small_config(shards, stopped, keep=1, save_every=2), resume=True, progress=False)
    assert all((folder / "notes").read_text() == "mine" for folder in kept)
    ours = sorted(path.name for path in (stopped / "checkpoints").iterdir() if path not in kept)
    assert ours == sorted({(stopped / name).readlink().name for name in ("last", "best")})
    assert not verify(stopped).differences


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "result.json", "best", "last", "wandb_id"])
def test_a_new_run_overwrites_no_file_that_no_run_wrote(shards: Path, tmp_path: Path, name: str) -> None:  # noqa: F811
    (tmp_path / name).write_text("seed = 3\n")
    with pytest.raises(UsageError, match=f"{name}: is there already"):
        train(small_config(shards, tmp_path), progress=False)
    assert (tmp_path / name).read_text() == "seed = 3\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


# What decides the weights


@pytest.mark.parametrize(("old", "new", "words"), [
    ("seed = 42", "seed = 43", "seed was 42, is 43"), ("lr = 0.003", "lr = 0.013", r"lr was 0\.003, is 0\.013"),
    ("width = 32", "width = 33", r"policy\.width was 32, is 33"),
    ('precision = "float32"', 'precision = "bfloat16"', "precision was float32, is bfloat16"),
    ("batch_size = 64", "batch_size = 65", "batch_size was 64, is 65"),
])
def test_an_edited_config_is_not_resumed_and_verify_names_it(stopped: Path, old: str, new: str, words: str) -> None:
    path = stopped / "config.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    before = (stopped / "last" / "policy" / "policy.safetensors").read_bytes()
    with pytest.raises(UsageError, match=words):
        train(resolve({"run": stopped}, resume=True), resume=True, progress=False)
    assert (stopped / "last" / "policy" / "policy.safetensors").read_bytes() == before
    assert any(str(path) in problem for problem in verify(stopped).differences)


def test_every_flip_in_config_toml_is_named_by_verify_and_changes_no_weight(stopped: Path) -> None:
    text = (stopped / "config.toml").read_bytes()
    before = Checkpoints(stopped).settings()
    for place in range(0, len(text), 7):
        (stopped / "config.toml").write_bytes(text[:place] + bytes([text[place] ^ 2]) + text[place + 1:])
        assert verify(stopped).differences
        with contextlib.suppress(PokeBCError):
            changed = changes_on_resume(before, resolve({"run": stopped}, resume=True))
            assert changed.keys() <= {"shards", "epochs", "device", "capture", "keep", "tensorboard", "wandb",
                                      "wandb_project"}


def test_before_the_first_checkpoint_an_edited_config_is_not_resumed(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    config = small_config(shards, tmp_path / "run", lr=1e6, save_every=1)
    diverge(config)
    path = tmp_path / "run" / "config.toml"
    path.write_text(path.read_text().replace("seed = 42", "seed = 43"))
    with pytest.raises(RunError, match="edited or damaged") as caught:
        train(resolve({"run": tmp_path / "run"}, resume=True), resume=True, progress=False)
    assert "leave out --resume" in caught.value.hint


def diverge(config: TrainConfig) -> TrainingError:
    """Of a run whose first loss is no number."""
    original = loss_module.imitation_loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "imitation_loss", lambda *args, **more: (
            lambda loss: loss._replace(total=loss.total * float("nan")))(original(*args, **more)))
        with pytest.raises(TrainingError) as caught:
            train(config, progress=False)
    return caught.value


def test_a_run_that_diverged_before_its_first_checkpoint_says_what_to_do_and_its_folder_can_be_used(
        shards: Path, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    error = diverge(small_config(shards, run))
    assert "there is no checkpoint yet" in error.what
    assert "--resume would repeat it" in error.hint
    assert f"{run} can be used again" in error.hint
    train(small_config(shards, run, steps=2), progress=False)
    assert not verify(run).differences


def test_a_training_that_fails_ends_with_4_and_resumed_it_fails_alike(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    command = ["train", "--run", tmp_path / "run", "--quiet"]
    for more in (["--shards", shards, "--lr", "1e8", "--steps", "9", "--device", "cpu", "--set", "batch_size=64",
                  "--set", "precision=float32"], ["--resume"]):
        done = run_cli(*command, *more)
        assert done.code == 4, done.stderr
        assert done.stderr.splitlines()[-2].startswith("error: loss, gradient, weights or evaluation are not finite")
        assert "can be used again" in done.stderr.splitlines()[-1]


def test_finite_weights_that_evaluate_to_nan_are_no_checkpoint(shards: Path, tmp_path: Path,  # noqa: F811
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = step_module.train_step, []

    def grow(policy: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(1)
        found = original(policy, *args, **kwargs)
        if len(calls) == 5:  # finite, but inf - inf by the last layer
            with torch.no_grad():
                policy.policy_head.weight.fill_(3e38)
                policy.policy_head.weight[:, ::2] *= -1
        return found

    monkeypatch.setattr(step_module, "train_step", grow)
    with pytest.raises(TrainingError, match=r"evaluation are not finite.*last good checkpoint is step-00000004"):
        train(small_config(shards, tmp_path / "run", save_every=1, log_every=1000, eval_every=1000), progress=False)
    assert evaluate(tmp_path / "run", checkpoint="last")["nll"] < 10
    assert [*Checkpoints(tmp_path / "run").steps()] == [2, 3, 4]


# metrics.jsonl and result.json


@pytest.mark.parametrize(("name", "edit"), [
    ("metrics.jsonl", lambda path: path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))),
    ("metrics.jsonl", lambda path: path.unlink()),
    ("result.json", lambda path: path.write_text(path.read_text().replace('"steps": 4', '"steps": 5'))),
    ("result.json", lambda path: path.write_text("[]")),
], ids=["a figure", "no metrics", "steps", "a list"])
def test_edited_figures_are_named_by_verify(finished: Path, tmp_path: Path, name: str, edit: Edit) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run, symlinks=True)
    assert not verify(run).differences
    edit(run / name)
    assert [problem.split(":")[0] for problem in verify(run).differences] == [str(run / name)]


@pytest.mark.parametrize("damaged", [b'{"ste`": 3, "loss": 1.0}', b'{"step": "3"}', b"[3]", b'{"step": 3', b"\xff", b"",
                                     b'{"step": 1, "val": 3}', b'{"step": 1, "val": {"nlx": 3}}'])
def test_a_damaged_line_of_metrics_stops_nothing(finished: Path, tmp_path: Path, damaged: bytes) -> None:
    whole = (finished / "metrics.jsonl").read_bytes()
    (tmp_path / "config.toml").write_bytes((finished / "config.toml").read_bytes())
    (tmp_path / "metrics.jsonl").write_bytes(damaged + b"\n" + whole)
    assert inspect_run(tmp_path).facts["best"] == inspect_run(finished).facts["best"]
    drop_after(tmp_path, 10**9)
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(whole)


def test_metrics_that_were_edited_are_told_on_resume(shards: Path, tmp_path: Path,  # noqa: F811
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    train(small_config(shards, tmp_path / "run", steps=6), progress=False)
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))
    capsys.readouterr()
    train(resolve({"run": tmp_path / "run", "steps": 8}, resume=True), resume=True, progress=False)
    assert "metrics.jsonl was edited or damaged" in capsys.readouterr().err


def test_a_result_of_another_run_does_not_finish_this_one(shards: Path, finished: Path, stopped: Path) -> None:  # noqa: F811
    shutil.copy(finished / "result.json", stopped / "result.json")
    assert train(small_config(shards, stopped), resume=True, progress=False).steps > 3


def test_a_new_run_in_the_folder_of_one_without_checkpoints_takes_nothing_from_it(
        shards: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    shutil.rmtree(run / "checkpoints")
    assert train(small_config(shards, run, steps=2), progress=False).steps == 2
    assert not verify(run).differences
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


# Copies


def copy_with_links(run: Path, to: Path) -> None:
    shutil.copytree(run, to, symlinks=True)


def copy_following_links(run: Path, to: Path) -> None:
    shutil.copytree(run, to)


@pytest.mark.parametrize("copy", [copy_with_links, copy_following_links, shutil.move])
def test_a_moved_or_copied_run_resumes_and_evaluates(stopped: Path, shards: Path, tmp_path: Path,  # noqa: F811
                                                     copy: Callable[[Path, Path], object]) -> None:
    train(small_config(shards, tmp_path / "whole"), progress=False)
    there = tmp_path / "elsewhere" / "run"
    there.parent.mkdir()
    copy(stopped, there)
    assert evaluate(there, checkpoint="last")["decisions"]
    config = resolve({"run": there}, resume=True)
    train(config, resume=True, progress=False)
    assert_equal_weights(there, tmp_path / "whole")
    assert (there / "last").is_symlink()
    assert not verify(there).differences
    assert evaluate(there)["nll"] == evaluate(tmp_path / "whole")["nll"]


def test_moved_shards_are_recorded_in_an_unfinished_and_in_a_finished_run(stopped: Path, tmp_path: Path) -> None:
    old = TrainConfig.read(stopped).shards
    moved = tmp_path / "moved"
    shutil.copytree(old, moved)
    for _ in range(2):
        train(resolve({"run": stopped, "shards": moved}, resume=True), resume=True, progress=False)
        assert TrainConfig.read(stopped).shards == moved
        assert not verify(stopped).differences
        moved = moved.rename(tmp_path / "again")
    state = torch.load(stopped / "last" / "training_state" / "state.pt", weights_only=True)
    assert state["progress"]["changes"] == [{"step": 3, "shards": [str(old), str(tmp_path / "moved")]}]


def test_where_links_cannot_be_made_a_run_has_copies(shards: Path, tmp_path: Path,  # noqa: F811
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refused)
    run = tmp_path / "run"
    train(small_config(shards, run, steps=6, keep=1, save_every=2, eval_every=4), progress=False)
    (run / ".tmp-01234567-last").mkdir()  # of a session that was killed while it copied
    train(resolve({"run": run, "steps": 10}, resume=True), resume=True, progress=False)
    assert not (run / ".tmp-01234567-last").exists()
    assert Checkpoints(run).last().name == "step-00000010"
    assert evaluate(run)["decisions"] == evaluate(run, checkpoint="last")["decisions"]
    assert not verify(run).differences
    assert not (run / "last").is_symlink()


# Longer runs


def test_a_finished_run_goes_on_when_it_is_made_longer(shards: Path, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    finished_at = TrainResult.read(run, run / "last")
    assert finished_at is not None
    result = train(resolve({"run": run, "epochs": 6}, resume=True), resume=True, progress=False)
    rows = len(ShardDataset(shards, "train", censored=True))
    assert result.steps == math.ceil(6 * rows / 64) > finished_at.steps == math.ceil(4 * rows / 64)
    assert TrainConfig.read(run).epochs == 6
    assert finished_at.val is not None
    assert isinstance(finished_at.val["decisions"], int)
    assert not verify(run).differences
    again = train(resolve({"run": run}, resume=True), resume=True, progress=False)
    assert again == result
    with pytest.raises(RunError, match=rf"cannot end after {math.ceil(3 * rows / 64)} steps, it is at {result.steps}"):
        train(resolve({"run": run, "epochs": 3}, resume=True), resume=True, progress=False)


def test_epochs_asked_for_win_over_the_steps_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("steps = 9\n")
    assert resolve({"epochs": 20.0}, tmp_path / "mine.toml").steps is None
    assert resolve({"epochs": 20.0, "steps": 3}, tmp_path / "mine.toml").steps == 3
    assert resolve({}, tmp_path / "mine.toml").steps == 9


def test_a_longer_run_ends_as_one_that_was_so_long_from_the_beginning() -> None:
    config = TrainConfig(steps=200, lr=1.0, warmup=0.1, min_lr_ratio=0.05)
    whole, longer = Schedule(config, rows=1), Schedule(config, rows=1, lengths=[(100, 100)])
    short = Schedule(TrainConfig(steps=100, lr=1.0, warmup=0.1, min_lr_ratio=0.05), rows=1)
    assert [longer.rate(step) for step in range(100)] == [short.rate(step) for step in range(100)]
    joining = [longer.rate(step) for step in range(99, 110)]
    assert joining[0] == pytest.approx(0.05)
    assert joining == sorted(joining), "no jump, and no step above the curve"
    assert [longer.rate(step) for step in range(110, 200)] == [whole.rate(step) for step in range(110, 200)]
    thrice = Schedule(TrainConfig(steps=300, lr=1.0, warmup=0.1, min_lr_ratio=0.05), rows=1,
                      lengths=[(100, 100), (105, 200)])
    rates = [thrice.rate(step) for step in range(300)]
    assert rates[:105] == [longer.rate(step) for step in range(105)]
    assert max(abs(after - before) for before, after in pairwise(rates)) < 0.11
    assert rates[-1] == pytest.approx(0.05)
