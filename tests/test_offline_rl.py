"""Transitions are what a plain reading of the trajectories gives, and the example learns from them."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import REPOSITORY, run_python
from plain_reading import read_plainly
from training_fixtures import make_shards, small_config
from trajectories import make_trajectories, write_raw

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc import Batch, Policy, create_policy, evaluate, load_policy, train, transitions
from poke_bc.contract.actions import unpack_actions
from poke_bc.contract.errors import UsageError
from poke_bc.contract.split import SPLIT_NAMES, read_split
from poke_bc.data.shards import Shards
from poke_bc.policy import save_policy


@pytest.fixture(scope="module", params=["one", "several"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 trajectories of one to six decisions, a third of them cut off before the battle ended."""
    made = tmp_path_factory.mktemp("transitions")
    lines = make_trajectories(30)
    for line in lines[::3]:
        line["steps"][-1]["done"] = False
    preprocess([write_raw(made / "raw.jsonl", lines)], made / "shards", workers=1,
               shard_bytes=4000 if request.param == "several" else 1 << 30)
    split(made / "shards", val_ratio=0.3)
    return made / "shards"


def plainly(folder: Path, part: str | None = None) -> list[dict[str, np.ndarray]]:
    """Rows that are transitions, each with its own columns and, as "next ...", those of the row after it."""
    columns = read_plainly((folder.parent / "raw.jsonl").read_bytes())
    _, split_T = read_split(folder, Shards(folder).manifest.identity)
    found = []
    for row, trajectory in enumerate(columns["trajectory"]):
        has_next = row + 1 < len(columns["trajectory"]) and columns["trajectory"][row + 1] == trajectory
        if columns["action"][row] >= 0 and (has_next or columns["done"][row]) and (
                part is None or split_T[trajectory] == SPLIT_NAMES.index(part)):
            found.append({name: values[row] for name, values in columns.items()} | {
                f"next {name}": values[row + 1] if has_next else np.zeros_like(values[row])
                for name, values in columns.items()})
    return found


def all_actions_where_unknown(bits: np.ndarray) -> np.ndarray:
    return unpack_actions(np.where(bits == 0, 1023, bits).astype(np.uint16))


def check(batch: object, rows: list[dict[str, np.ndarray]]) -> None:
    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows])

    for ours, theirs in (
            (batch.observation.category, column("category")), (batch.observation.number, column("number")),
            (batch.next_observation.category, column("next category")),
            (batch.next_observation.number, column("next number")), (batch.action, column("action")),
            (batch.gimmick, column("gimmick")), (batch.reward, column("reward")), (batch.returns, column("return")),
            (batch.done, column("done") != 0), (batch.legal, all_actions_where_unknown(column("legal"))),
            (batch.next_legal, all_actions_where_unknown(column("next legal")))):
        assert np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("part", [None, "train", "val"])
def test_in_order_they_are_those_of_a_plain_reading(folder: Path, part: str | None) -> None:
    rows, used = plainly(folder, part), 0
    assert len(rows) > 20
    for batch in transitions(folder, part, batch_size=16, shuffle=False):
        check(batch, rows[used : used + 16])
        used += len(batch)
        assert batch.position == used
    assert used == len(rows)
    assert any(row["done"] for row in rows)
    assert any(row["legal"] and not row["legal"] & (row["legal"] - 1) for row in rows), "none with one legal action"


def test_records_that_end_before_the_battle_lead_nowhere(folder: Path) -> None:
    columns = read_plainly((folder.parent / "raw.jsonl").read_bytes())
    last = np.append(np.diff(columns["trajectory"]) != 0, True)
    left_out = int((last & (columns["done"] == 0) & (columns["action"] >= 0)).sum())
    assert left_out > 5
    assert sum(map(len, transitions(folder, None, shuffle=False))) == (columns["action"] >= 0).sum() - left_out


def test_shuffled_each_epoch_has_every_transition_once(folder: Path) -> None:
    def keys(batches: Iterator[object]) -> list[bytes]:
        return [b"".join(each.numpy().tobytes() for each in row) for batch in batches for row in zip(
            batch.observation.category, batch.observation.number, batch.next_observation.number, batch.reward,
            strict=True)]

    in_order = keys(transitions(folder, "train", batch_size=7, shuffle=False))
    shuffled = keys(transitions(folder, "train", batch_size=7, epochs=2, seed=1))
    assert sorted(shuffled[: len(in_order)]) == sorted(shuffled[len(in_order) :]) == sorted(in_order)
    assert shuffled[: len(in_order)] not in (in_order, shuffled[len(in_order) :])
    resumed = keys(transitions(folder, "train", batch_size=7, epochs=2, seed=1, start=21))
    assert resumed == shuffled[21:]


def test_windows_hold_the_decisions_before_and_never_those_of_another_trajectory(folder: Path) -> None:
    rows = transitions(folder, None, batch_size=32, shuffle=False)
    steps = range(-2, 1)
    for batch, row in zip(transitions(folder, None, batch_size=32, shuffle=False, steps=steps), rows, strict=True):
        now, following = batch.observation, batch.next_observation
        assert now.steps == following.steps == steps
        assert torch.equal(now.at(0).number, row.observation.number)
        assert torch.equal(following.at(0).number, row.next_observation.number)
        assert torch.equal(following.number[:, :-1], now.number[:, 1:])
        assert torch.equal(following.is_pad[:, -1], batch.done)
        turn = now.number[..., 0]  # the place in the trajectory, from 1
        has_turn = ~now.is_pad & (turn > 0)
        known = has_turn[:, 1:] & has_turn[:, :-1]
        assert torch.equal(turn.diff(dim=1)[known], torch.ones(int(known.sum()), dtype=turn.dtype))
        assert not now.number[now.is_pad].any()


def test_wrong_arguments_are_refused_before_the_first_batch(folder: Path) -> None:
    with pytest.raises(UsageError, match="no split"):
        transitions(folder, "training")
    with pytest.raises(ValueError, match="step 0"):
        transitions(folder, steps=range(-2, 2))
    with pytest.raises(ValueError, match="batch_size"):
        transitions(folder, batch_size=0)


def test_a_policy_takes_both_observations(folder: Path) -> None:
    policy = make_policy(folder)
    for batch in transitions(folder, batch_size=64, epochs=1):
        with torch.inference_mode():
            now, following = policy(batch.observation), policy(batch.next_observation)
        assert torch.equal(now.logits.isfinite(), batch.legal)
        assert torch.equal(following.logits.isfinite(), batch.next_legal)
        assert following.value.isfinite().all()


def make_policy(folder: Path) -> Policy:
    return create_policy("mlp", Shards(folder).manifest.schema, width=16, blocks=1, embedding=4, value_head=True).eval()


AWR = REPOSITORY / "docs" / "examples" / "awr.py"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with "shards" of 12 battles of the sample, and a "run" on them with a value head."""
    made = tmp_path_factory.mktemp("sample")
    convert_battles([str(REPOSITORY / "data/sample/battles.jsonl.zst")], made / "raw.jsonl", workers=1,
                    keep_names=True, limit=12)
    preprocess([made / "raw.jsonl"], made / "shards", workers=1)
    split(made / "shards", val_ratio=0.3)
    heads = {"value_head": True, "gimmick_head": True}
    train(small_config(made / "shards", made / "run", policy=heads, value_weight=0.5, gimmick_weight=1.0, steps=10))
    return made


def test_the_example_goes_from_a_run_to_a_policy_that_can_be_judged(sample: Path) -> None:
    done = run_python("import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')",
                      AWR, sample / "run", sample / "shards", sample / "awr")
    assert done.code == 0, done.stderr
    assert re.fullmatch(r"epoch 1: policy_loss \d.*, value_loss \d.*, counts_as 0\.\d+\n", done.stdout)
    cloned, policy = load_policy(sample / "run"), load_policy(sample / "awr")
    assert policy.trained_on == cloned.trained_on
    assert not torch.equal(policy.stem.weight, cloned.stem.weight)
    assert "advantage-weighted regression" in (sample / "awr" / "policy" / "README.md").read_text("utf-8")
    judged = evaluate(sample / "awr", sample / "shards")
    assert judged["decisions"] > 50
    assert judged["nll"] < 5


def test_the_example_reads_windows_as_well(sample: Path, tmp_path: Path) -> None:
    policy = create_policy("history", Shards(sample / "shards").manifest.schema, width=16, embedding=4, steps=3,
                           heads=2, hidden=16, layers=1, value_head=True)
    save_policy(policy, tmp_path / "policy")
    figures = runpy.run_path(str(AWR))["awr"](tmp_path, sample / "shards", tmp_path / "awr", batch_size=256)
    assert 0 < figures[0]["policy_loss"] < 5


def test_the_example_learns_what_earns_more_where_imitation_cannot(tmp_path: Path) -> None:
    """Both actions are taken equally often; one of them wins. Where beta has no bound, it is imitation."""
    random = np.random.default_rng(0)
    lines = []
    for battle in range(300):
        steps = [{"observation": {"turn": turn}, "action_type": 0, "action_target": int(random.integers(2)),
                  "legal": [True, True] + [False] * 8, "reward": 0.0, "done": turn == 3} for turn in (1, 2, 3)]
        steps[-1]["reward"] = 2.0 * steps[-1]["action_target"] - 1
        lines.append({"replay_id": f"b-{battle}", "player": "p1", "total_reward": steps[-1]["reward"], "steps": steps})
    preprocess([write_raw(tmp_path / "raw.jsonl", lines)], tmp_path / "shards", workers=1)
    split(tmp_path / "shards", val_ratio=0.1)
    save_policy(make_policy(tmp_path / "shards"), tmp_path / "policy")
    awr = runpy.run_path(str(AWR))["awr"]
    last = Batch.from_observations(load_policy(tmp_path).schema, [{"turn": 3}], [[True, True] + [False] * 8])
    learned = {}
    for beta in (0.5, 1e6):
        awr(tmp_path, tmp_path / "shards", tmp_path / f"{beta}", beta=beta, epochs=20, batch_size=64, lr=3e-3)
        with torch.inference_mode():
            learned[beta] = float(load_policy(tmp_path / f"{beta}")(last).logits.softmax(dim=1)[0, 1])
    assert learned[0.5] > 0.8
    assert 0.3 < learned[1e6] < 0.7


def test_the_example_says_what_a_run_without_a_value_head_lacks(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", battles=4)
    save_policy(create_policy("mlp", Shards(shards).manifest.schema, width=16, embedding=4, value_head=False),
                tmp_path / "policy")
    with pytest.raises(SystemExit, match="has no value head"):
        runpy.run_path(str(AWR))["awr"](tmp_path, shards, tmp_path / "awr")


def test_the_page_shows_lines_of_the_example() -> None:
    page = (REPOSITORY / "docs" / "offline-rl.md").read_text("utf-8")
    code = AWR.read_text("utf-8")
    shown = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "advantage_B" in block]
    assert len(shown) == 1
    for line in shown[0].splitlines():
        assert line.strip() in code
    assert code.count("\n") < 80
