"""Disturbed in any way, a training ends with the weights, figures and samples of an undisturbed one, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import run, spread
from training_fixtures import battle_lines, make_shards, small_config
from training_sessions import Ended, Session, outcome, run_sessions, samples

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import evaluate
from poke_bc.train import resolve, train
from poke_bc.train.checkpoint import damage
from poke_bc.verify import verify

STEPS, EPOCH = 20, 6
"""Updates of a run, and of an epoch, after which it evaluates and saves; it saves after every fourth as well."""
NETWORKS = {
    "mlp": ("--policy", "mlp", "--set", "policy.width=32", "--set", "policy.blocks=1"),
    "windows of rows": ("--policy", "mlp", "--set", "policy.width=32", "--set", "policy.blocks=1",
                        "--set", "order=window", "--set", "window=1024"),
    "history": ("--policy", "history", "--set", "policy.width=16", "--set", "policy.layers=1",
                "--set", "policy.steps=3"),
}
TERM, INT = (signal.SIGTERM,), (signal.SIGINT,)
PLANS = {
    "once": [Session(after=10)],
    "twice in an epoch": [Session(after=2, signals=TERM), Session(after=5)],
    "three times in an epoch": [Session(after=1, signals=TERM), Session(after=3, signals=INT), Session(after=5)],
    "at the edge of an epoch": [Session(after=EPOCH), Session(before=EPOCH + 1), Session(after=2 * EPOCH, signals=TERM),
                                Session(before=2 * EPOCH + 1, signals=TERM)],
    "at step 0": [Session(before=1), Session(before=1), Session(before=1, signals=TERM)],
    "after the last batch": [Session(after=STEPS), Session(after=STEPS, signals=TERM)],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards", battles=16, steps=8)


def options(data: Path, network: str = "mlp", *more: str) -> tuple[str, ...]:
    """A run of STEPS steps with EPOCH of them an epoch."""
    batch = -(-len(ShardDataset(data, "train", censored=True)) // EPOCH)
    return ("--steps", str(STEPS), "--batch-size", str(batch), "--save-every", "4", "--set", "log_every=3",
            "--set", "warmup=3", *NETWORKS[network], *more)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of each network that nothing disturbs."""
    folder, made = tmp_path_factory.mktemp("undisturbed"), {}

    def find(network: str) -> Path:
        if network not in made:
            made[network] = folder / network.replace(" ", "-")
            ended, = run_sessions(data, made[network], Session(), options=options(data, network))
            assert ended.code == 0, ended.stderr
            assert [*samples(made[network])] == [*range(1, STEPS + 1)]
        return made[network]

    return find


def assert_codes(ended: list[Ended], plan: list[Session]) -> None:
    """Each session ended by its signal, and the last one by itself."""
    codes = [-9 if session.signals == (signal.SIGKILL,) else 128 + session.signals[0] for session in plan]
    if plan and plan[-1].after == STEPS and plan[-1].signals == TERM:
        codes[-1] = 0  # it was done when it was told to end
    assert [each.code for each in ended] == [*codes, 0], [each.stderr for each in ended]


def assert_equal_outcomes(disturbed: Path, whole: Path) -> None:
    assert samples(disturbed) == samples(whole)
    for ours, theirs in zip(outcome(disturbed), outcome(whole), strict=True):
        assert ours == theirs


# Stopped


@pytest.mark.parametrize(("plan", "network"), [
    *[(plan, "mlp") for plan in PLANS if "once" not in plan and "twice" not in plan], ("twice in an epoch", "history"),
    ("once", "windows of rows")])
def test_a_stopped_training_goes_on_bit_for_bit(plan: str, network: str, data: Path, tmp_path: Path,
                                                undisturbed: Callable[[str], Path]) -> None:
    ended = run_sessions(data, tmp_path / "run", *PLANS[plan], Session(), options=options(data, network, "--keep", "9"))
    whole = undisturbed(network)
    assert_codes(ended, PLANS[plan])
    assert samples(tmp_path / "run") == samples(whole)
    assert outcome(tmp_path / "run")[1:] == outcome(whole)[1:]
    assert not verify(tmp_path / "run").differences


def random_plan(seed: int) -> list[Session]:
    """Up to six sessions that are stopped at later and later steps, or before they got anywhere."""
    draw = random.Random(seed)
    return [Session(**{draw.choice(("before", "after")): step}, signals=draw.choice(((signal.SIGKILL,), TERM)))
            for step in sorted(draw.sample(range(1, STEPS), draw.randint(1, 6)))]


@pytest.mark.parametrize("seed", range(1))
def test_a_training_stopped_at_random_steps_goes_on_bit_for_bit(seed: int, data: Path, tmp_path: Path,
                                                                undisturbed: Callable[[str], Path]) -> None:
    check_random_plan(seed, "mlp", data, tmp_path, undisturbed)


@pytest.mark.soak
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seed", range(1, 8))
def test_every_network_stopped_at_random_steps_goes_on_bit_for_bit(
        seed: int, network: str, data: Path, tmp_path: Path, undisturbed: Callable[[str], Path]) -> None:
    check_random_plan(seed, network, data, tmp_path, undisturbed)


def check_random_plan(seed: int, network: str, data: Path, folder: Path, undisturbed: Callable[[str], Path]) -> None:
    ended = run_sessions(data, folder / "run", *random_plan(seed), Session(), options=options(data, network))
    assert ended[-1].code == 0, ended[-1].stderr
    assert samples(folder / "run") == samples(undisturbed(network))
    assert outcome(folder / "run")[1:] == outcome(undisturbed(network))[1:]


def test_sigterm_saves_and_ends_with_143_and_a_second_one_ends_at_once(data: Path, tmp_path: Path) -> None:
    saved, at_once, ctrl_c = run_sessions(
        data, tmp_path / "run", Session(after=3, signals=TERM), Session(after=6, signals=TERM * 2),
        Session(after=7, signals=INT * 2), options=options(data))
    assert (saved.code, at_once.code, ctrl_c.code) == (143, 143, 130)
    assert "continue with: poke-bc train" in saved.stderr.splitlines()[-1]
    assert at_once.stderr.splitlines()[-1] == "interrupted"
    assert (tmp_path / "run" / "last").readlink().name == "step-00000006", "of the third session: what was due before"
    assert not (tmp_path / "run" / ".lock").exists()


# Killed while it writes


def training(shards: Path, folder: Path) -> list[str]:
    """Arguments of a training that saves every third step; it goes on where there is something to go on with."""
    resume = ["--resume"] if (folder / "config.toml").exists() else []
    return ["-m", "poke_bc", "train", "--shards", str(shards), "--run", str(folder), "--steps", "9",
            "--save-every", "3", "--keep", "1", "--batch-size", "32", "--device", "cpu", "--quiet", *resume]


def test_a_training_killed_while_it_writes_again_and_again_ends_with_equal_weights(data: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole" / "run", tmp_path / "broken" / "run"
    for folder in (whole.parent, broken.parent):
        folder.mkdir()
    undisturbed = run(training(data, whole), whole.parent)
    assert undisturbed.code == 0, undisturbed.stderr
    for place in spread(list(range(5, len(undisturbed.calls) // 3)), 5):
        done = run(training(data, broken), broken.parent, kill_at=place)
        assert done.killed, f"not killed at call {place}: {done.stderr}"
    last = run(training(data, broken), broken.parent)
    assert last.code == 0, last.stderr
    assert len(last.calls) < len(undisturbed.calls)
    for ours, theirs in zip(outcome(broken), outcome(whole), strict=True):
        assert ours == theirs
    assert [*broken.parent.iterdir()] == [broken]


# Damaged checkpoints


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.fixture(scope="module")
def stopped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose last two checkpoints are of steps 12 and 16."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    ended, = run_sessions(data, folder, Session(after=16, signals=TERM), options=options(data))
    assert ended.code == 143, ended.stderr
    assert (folder / "last").readlink().name == "step-00000016"
    return folder


@pytest.fixture
def saved_twice(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copied(stopped, tmp_path / "run")


def copied(run: Path, to: Path) -> Path:
    shutil.copytree(run, to, symlinks=True)
    shutil.copy(run.with_suffix(".samples"), to.with_suffix(".samples"))
    return to


@pytest.mark.parametrize(("name", "edit"), [
    ("training_state/state.pt", flip), ("policy/policy.safetensors", shorten), ("digests.json", flip),
    ("digests.json", Path.unlink), ("policy/config.json", Path.unlink)],
    ids=["a bit", "cut off", "digests", "no digests", "a missing file"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
        name: str, edit: Callable[[Path], None], data: Path, saved_twice: Path,
        undisturbed: Callable[[str], Path]) -> None:
    edit(saved_twice / "checkpoints" / "step-00000016" / name)
    ended, = run_sessions(data, saved_twice, Session(), options=options(data))
    assert ended.code == 0, ended.stderr
    warning, = [line for line in ended.stderr.splitlines() if line.startswith("warning: ")]
    assert name in warning
    assert "set aside as step-00000016.damaged, continuing from step-00000012" in warning
    assert samples(saved_twice) == samples(undisturbed("mlp"))
    assert outcome(saved_twice)[1:] == outcome(undisturbed("mlp"))[1:]
    assert not verify(saved_twice).differences


def test_where_no_checkpoint_is_intact_the_last_one_is_named(data: Path, saved_twice: Path) -> None:
    for folder in (saved_twice / "checkpoints").iterdir():
        shorten(folder / "training_state" / "state.pt")
    before = sorted(saved_twice.rglob("*"))
    ended, = run_sessions(data, saved_twice, Session(), options=options(data))
    assert ended.code == 3
    assert "step-00000016/training_state/state.pt: missing, or damaged" in ended.stderr
    assert "no earlier checkpoint that is intact" in ended.stderr
    assert sorted(saved_twice.rglob("*")) == before, "nothing is removed or renamed"


def test_a_best_checkpoint_that_is_damaged_is_not_named_best_any_more(data: Path, saved_twice: Path) -> None:
    (saved_twice / "best").unlink()
    (saved_twice / "best").symlink_to("checkpoints/step-00000016")
    flip(saved_twice / "best" / "policy" / "policy.safetensors")
    shutil.rmtree(saved_twice / "checkpoints" / "step-00000006", ignore_errors=True)
    ended, = run_sessions(data, saved_twice, Session(after=13, signals=TERM), options=options(data))
    assert ended.code == 143, ended.stderr
    assert evaluate(saved_twice)["decisions"]


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(
        data: Path, tmp_path: Path, undisturbed: Callable[[str], Path]) -> None:
    folder = copied(undisturbed("mlp"), tmp_path / "run")
    flip(folder / "last" / "policy" / "policy.safetensors")
    ended, = run_sessions(data, folder, Session(), options=options(data))
    assert ended.code == 0, ended.stderr
    assert outcome(folder)[1:] == outcome(undisturbed("mlp"))[1:]


# A full disk


@pytest.mark.parametrize("what", ["policy/policy.safetensors", "training_state/state.pt"])
def test_a_full_disk_is_told_and_the_checkpoint_before_goes_on(
        what: str, data: Path, tmp_path: Path, undisturbed: Callable[[str], Path]) -> None:
    room = (undisturbed("mlp") / "last" / what).stat().st_size - 1
    folder = tmp_path / "run"
    first, full, last = run_sessions(data, folder, Session(after=3, signals=TERM), Session(largest_file=room),
                                     Session(), options=options(data, "mlp", "--keep", "99"))
    assert first.code == 143, first.stderr
    assert full.code == 3
    assert "cannot be written (File too large)" in full.stderr
    assert "continue with --resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert last.code == 0, last.stderr
    assert not damage(folder / "checkpoints" / "step-00000003")
    assert not list(folder.rglob(".*"))
    assert samples(folder) == samples(undisturbed("mlp"))
    assert outcome(folder)[1:] == outcome(undisturbed("mlp"))[1:]


# The feeder


@pytest.mark.parametrize("batch", [1, 5])
def test_a_feeder_that_fails_ends_the_training_with_its_traceback(batch: int, data: Path, tmp_path: Path) -> None:
    """And does not hang: `run_sessions` would end it with an error."""
    ended, = run_sessions(data, tmp_path / "run", Session(feeder_fails=batch), options=options(data))
    assert ended.code == 1
    assert "in _gather\n" in ended.stderr
    assert ended.stderr.rstrip().endswith("ArithmeticError: the feeder fails")
    assert not (tmp_path / "run" / ".lock").exists()


# The data


def rewrite(shards: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Make the shards again, in the same folder, from lines that are edited before."""
    raw = shards.with_suffix(".jsonl")
    lines = [json.loads(line) for line in raw.read_text().splitlines()]
    edit(lines)
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines))
    preprocess([raw], shards, workers=1)
    split(shards, val_ratio=0.2, test_ratio=0.0, seed=0, by="battle")


@pytest.mark.parametrize(("change", "words"), [
    (lambda shards: rewrite(shards, lambda lines: lines[0]["steps"][0]["observation"].update(turn=77)), "data was"),
    (lambda shards: rewrite(shards, lambda lines: lines.extend(battle_lines(2, 8, 9, 12, False))), "decisions was"),
    (lambda shards: split(shards, val_ratio=0.4, test_ratio=0.0, seed=0), "split was"),
], ids=["a value", "more battles", "the split"])
def test_a_run_is_not_resumed_with_data_that_changed_in_place(
        change: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    shards, folder = make_shards(tmp_path / "shards", battles=16, steps=8), tmp_path / "run"
    train(small_config(shards, folder, steps=4, save_every=2), progress=False)
    before = outcome(folder)
    change(shards)
    with pytest.raises(RunError, match=words) as caught:
        train(resolve({"run": folder, "steps": 8}, resume=True), resume=True, progress=False)
    assert f"--init-from {folder}" in caught.value.hint
    assert outcome(folder) == before
    started = train(small_config(shards, tmp_path / "other", steps=2, init_from=folder), progress=False)
    assert started.steps == 2, "what the hint says works"


def make_one_trajectory(folder: Path, val_ratio: float) -> Path:
    raw = folder.with_suffix(".jsonl")
    raw.write_text(json.dumps(battle_lines(1, 12, 0, 12, False)[0]) + "\n")
    preprocess([raw], folder, workers=1)
    split(folder, val_ratio=val_ratio, test_ratio=0.0)
    return folder


def test_one_trajectory_with_fewer_decisions_than_a_batch_is_learned_bit_for_bit(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each batch then has every decision several times."""
    data = make_one_trajectory(tmp_path / "shards", val_ratio=0.0)
    chosen = ("--steps", "6", "--batch-size", "64", "--save-every", "2", "--policy", "mlp", "--set", "policy.width=32")
    whole, = run_sessions(data, tmp_path / "whole", Session(), options=chosen)
    assert whole.code == 0, whole.stderr
    assert "without evaluation" in whole.stderr
    rows = len(ShardDataset(data, "train", censored=True))
    assert {len({*ids}) for ids in samples(tmp_path / "whole").values()} == {rows}
    ended = run_sessions(data, tmp_path / "run", Session(after=3), Session(after=4, signals=TERM), Session(),
                         options=chosen)
    assert [each.code for each in ended] == [-9, 143, 0]
    assert samples(tmp_path / "run") == samples(tmp_path / "whole")
    assert outcome(tmp_path / "run")[1:] == outcome(tmp_path / "whole")[1:]


def test_one_trajectory_that_would_be_for_validation_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train would be empty"):
        make_one_trajectory(tmp_path / "shards", val_ratio=0.999)
    with pytest.raises(ShardError, match="not split into train and val yet"):
        train(small_config(tmp_path / "shards", tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()
