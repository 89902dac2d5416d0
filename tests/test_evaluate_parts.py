"""Parts of the evaluation against plain references: intervals, AUC, reliability, damage, heads and slices."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from singles_rows import make_singles

from pipelines.preprocess import preprocess
from poke_bc.data.dataset import ShardDataset
from poke_bc.decisions.damage import KINDS, STRONGEST_SHARE, kinds_of, strongest_move
from poke_bc.decisions.rows import Rows, read_rows
from poke_bc.evaluate.bootstrap import FEWEST_BATTLES, Bootstrap, pair
from poke_bc.evaluate.calibration import auc, reliability
from poke_bc.evaluate.confusion import confusion
from poke_bc.evaluate.heads import judge_gimmick, judge_value, outcomes
from poke_bc.evaluate.judge import _remarks
from poke_bc.evaluate.slices import RATING_BANDS, slices_of
from poke_bc.metrics import Scores


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardDataset:
    return ShardDataset(make_singles(tmp_path_factory.mktemp("singles") / "shards"))


@pytest.fixture(scope="module")
def rows(data: ShardDataset) -> Rows:
    return read_rows(data)


def plain_legal(rows: Rows, row: int) -> list[int]:
    bits = int(rows.legal_N[row])
    return [action for action in range(10) if bits >> action & 1 or not bits]


def test_an_interval_covers_the_mean_of_all_battles_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(40):
        battle = np.repeat(np.arange(50), 10)
        hit = random.random(500) < np.repeat(random.beta(2, 2, 50), 10)  # decisions of one battle are alike
        low, high = Bootstrap(battle).intervals(hit)[0, 0]
        covered += low <= 0.5 <= high
    assert covered >= 34


def test_intervals_of_groups_equal_those_of_the_groups_alone_but_for_chance() -> None:
    random = np.random.default_rng(1)
    battle, group = np.repeat(np.arange(400), 20), np.tile([0, 1, -1, 1], 2000)
    values = np.stack([random.random(8000), random.random(8000) ** 2], axis=1)
    together = Bootstrap(battle).intervals(values, group, 2)
    assert together.shape == (2, 2, 2)
    for place in range(2):
        alone = Bootstrap(battle[group == place]).intervals(values[group == place])[0]
        assert together[place] == pytest.approx(alone, abs=2e-3)
        assert (together[place, :, 0] < values[group == place].mean(axis=0)).all()
        assert (together[place, :, 1] > values[group == place].mean(axis=0)).all()


def test_intervals_equal_a_plain_bootstrap_of_the_same_draws() -> None:
    random = np.random.default_rng(2)
    battle, value = random.integers(0, 30, 300), random.random(300)
    draws, means = np.random.default_rng(0), []
    names = np.unique(battle)
    for _ in range(1000):
        drawn = names[draws.integers(0, len(names), len(names))]
        picked = np.concatenate([value[battle == name] for name in drawn])
        means.append(picked.mean())
    assert Bootstrap(battle).intervals(value)[0, 0] == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_too_few_battles_have_no_interval() -> None:
    battle = np.repeat(np.arange(FEWEST_BATTLES), 4)
    group = np.where(battle == 0, 1, 0)  # one battle less for group 0
    found = Bootstrap(battle).intervals(battle % 2, group, 3)
    assert [pair(bounds) for bounds in found[:, 0]] == [None, None, None]
    assert pair(Bootstrap(battle).intervals(battle % 2)[0, 0]) is not None


def test_many_battles_are_drawn_in_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    battle, value = np.repeat(np.arange(5000), 3), np.random.default_rng(3).random(15000)
    each = Bootstrap(battle).intervals(value)[0, 0]
    monkeypatch.setattr("poke_bc.evaluate.bootstrap._MOST_UNITS", 500)
    bundled = Bootstrap(battle)
    assert bundled.battles == 5000
    assert np.diff(bundled.intervals(value)[0, 0]) == pytest.approx(np.diff(each), rel=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_counting_all_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    score, positive = random.integers(0, 12, 80) / 12, random.random(80) < 0.3
    wins = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert auc(score, positive) == pytest.approx(np.mean(wins))
    assert auc(score, np.zeros(80, bool)) is None
    assert auc(score, np.ones(80, bool)) is None


def test_the_calibration_error_is_the_mean_distance_in_the_reliability_diagram() -> None:
    random = np.random.default_rng(4)
    confidence, rank = random.random(700).astype(np.float32), random.integers(0, 3, 700)
    bins = reliability(confidence, rank == 0)
    assert sum(each["decisions"] for each in bins) == 700
    for each in bins:
        inside = (confidence > each["low"]) & (confidence <= each["high"])
        assert each["decisions"] == inside.sum()
        assert each["accuracy"] == pytest.approx((rank == 0)[inside].mean())
        assert each["confidence"] == pytest.approx(confidence[inside].mean(), rel=1e-5)
    error = sum(each["decisions"] * abs(each["accuracy"] - each["confidence"]) for each in bins) / 700
    scores = Scores(np.ones(700, np.float32), rank, confidence, np.zeros(700, np.float32))
    assert scores.calibration_error() == pytest.approx(error)


def test_the_strongest_move_scores_as_a_plain_reference(rows: Rows) -> None:
    found = strongest_move(rows)
    assert found is not None
    assert {any(action < 4 for action in plain_legal(rows, row)) for row in range(len(rows))} == {False, True}
    for row in range(len(rows)):
        legal, taken = plain_legal(rows, row), int(rows.action_N[row])
        score = {action: float(rows.fields["own_move_damage"][row, action]) if action < 4 else -1.0 for action in legal}
        before = sum(score[other] > score[taken] for other in legal)
        alike = sum(score[other] == score[taken] for other in legal)
        for name, top in (("top1", 1), ("top3", 3)):
            assert found[name][row] == pytest.approx(min(max((top - before) / alike, 0), 1))
        best = [action for action in legal if score[action] == max(score.values())]
        share = STRONGEST_SHARE * (taken in best) / len(best) + (1 - STRONGEST_SHARE) / len(legal)
        assert found["nll"][row] == pytest.approx(-math.log(share))


def test_kinds_of_actions_follow_from_the_damage(rows: Rows) -> None:
    names, kind_NA = kinds_of(rows)
    assert names == KINDS
    for row in range(len(rows)):
        legal, damage = plain_legal(rows, row), rows.fields["own_move_damage"][row]
        best = max([damage[action] for action in legal if action < 4], default=0)
        for action in legal:
            kind = names[kind_NA[row, action]]
            expected = ("switch" if action >= 4 else "move without damage" if damage[action] == 0
                        else "strongest move" if damage[action] == best else "other attack")
            assert kind == expected


def test_confusion_counts_every_decision_once(rows: Rows) -> None:
    predicted = np.random.default_rng(5).integers(0, 10, len(rows))
    found = confusion(rows, predicted)
    counts = np.array(found["actions"]["counts"])
    for chosen, guess in ((0, 0), (4, 2), (9, 9)):
        assert counts[chosen, guess] == ((rows.action_N == chosen) & (predicted == guess)).sum()
    kinds = np.array(found["kinds"]["counts"])
    assert kinds.sum() == counts.sum() == len(rows)
    assert kinds[-1, -1] == ((rows.action_N >= 4) & (predicted >= 4)).sum()


def test_the_brier_score_is_the_mean_squared_error_of_the_outcome(rows: Rows, data: ShardDataset) -> None:
    won = outcomes(rows, data.shards)
    rewards = np.array(data.shards.trajectories("total_reward"))[data.column("trajectory")]
    assert won.tolist() == (rewards > 0).tolist()
    win = np.random.default_rng(6).random(len(rows))
    bootstrap = Bootstrap(rows.battle_N)
    found = judge_value(rows, win, won, bootstrap)
    assert found["brier"] == pytest.approx(np.mean((win - won) ** 2))
    assert found["constant"] == pytest.approx(won.mean() * (1 - won.mean()))
    assert found["gain"] == pytest.approx(found["constant"] - found["brier"])
    low, high = found["interval"]["brier"]
    assert low < found["brier"] < high
    assert sum(each["decisions"] for each in found["by_turn"].values()) == len(rows)
    sure = judge_value(rows, won, won, bootstrap)
    assert (sure["brier"], sure["gain"]) == (0, sure["constant"])
    constant = judge_value(rows, np.full(len(rows), won.mean()), won, bootstrap)
    assert constant["gain"] == pytest.approx(0)
    assert constant["interval"]["gain"] == pytest.approx([0, 0])


def test_the_gimmick_head_is_judged_by_the_move_that_was_taken(rows: Rows) -> None:
    random = np.random.default_rng(7)
    any_NM = random.random((len(rows), 4)).astype(np.float32)
    gimmick = np.zeros((len(rows), 4, 5), np.float32)
    gimmick[:, :, 0], gimmick[:, :, 4] = 1 - any_NM, any_NM
    found = judge_gimmick(rows, gimmick)
    assert found is not None
    told, used = [], []
    for row in range(len(rows)):
        if rows.action_N[row] < 4 and rows.fields["own_can_gimmick"][row].any():
            told.append(float(any_NM[row, rows.action_N[row]]))
            used.append(bool(rows.gimmick_N[row]))
    assert 0 < sum(used) < len(used)
    assert (found["decisions"], found["rate"]) == (len(used), pytest.approx(np.mean(used)))
    assert found["auc"] == pytest.approx(auc(np.array(told), np.array(used)))
    loss = [-math.log(share if is_used else 1 - share) for share, is_used in zip(told, used, strict=True)]
    assert found["log_loss"] == pytest.approx(np.mean(loss), rel=1e-5)
    rate = np.mean(used)
    assert found["constant"] == pytest.approx(-rate * math.log(rate) - (1 - rate) * math.log(1 - rate))
    assert judge_gimmick(rows.at(rows.action_N >= 4), gimmick[rows.action_N >= 4]) is None
    never = judge_gimmick(replace(rows, gimmick_N=np.zeros_like(rows.gimmick_N)), gimmick)
    assert (never["rate"], str(never["constant"]), never["auc"]) == (0.0, "0.0", None)


@pytest.mark.parametrize(("rate", "told"), [(0.0, False), (0.1, True)])
def test_a_gimmick_head_is_blamed_only_where_there_was_something_to_tell(*, rate: float, told: bool) -> None:
    result = {"baselines": {}, "value": None, "gimmick": {"rate": rate, "log_loss": 0.5, "constant": 0.0}}
    assert any("gimmick head" in remark for remark in _remarks(result)) == told


def test_slices_put_each_decision_where_its_fields_say(rows: Rows, data: ShardDataset) -> None:
    found = slices_of(rows, data.shards)
    assert [*found] == ["kind", "phase", "gimmick", "turn", "alive", "legal_actions", "known_moves", "rating",
                        "generation", "format", "action"]
    names = {kind: np.array(groups.names)[groups.group_N] for kind, groups in found.items()}
    rating = data.shards.trajectories("rating")
    for row in range(len(rows)):
        field: dict[str, Any] = {name: values[row] for name, values in rows.fields.items()}
        is_move, legal = rows.action_N[row] < 4, plain_legal(rows, row)
        has_move = any(action < 4 for action in legal)
        ahead = int(field["own_alive"][0] - field["opp_alive"][0])
        known = 4 - [*field["own_moves"][4:8]].count(0)
        score = rating[rows.trajectory_N[row]]
        assert names["kind"][row] == ("move" if is_move else "voluntary switch" if has_move else "forced switch")
        assert names["phase"][row] == rows.phase_N[row]
        assert names["alive"][row] == {-1: "1 behind", 0: "even", 1: "1 ahead"}[ahead]
        assert names["known_moves"][row] == (str(known) if has_move else "no move legal")
        assert names["legal_actions"][row] == str(len(legal))
        band = "not known" if score is None else names["rating"][row]
        if score is not None:
            first = max(each for each in RATING_BANDS if each <= score)
            assert str(first or RATING_BANDS[1]) in band
            assert band.startswith("below") == (first == 0)
        assert names["rating"][row] == band
        used = rows.gimmick_N[row]
        assert names["gimmick"][row] == (
            "tera used" if used else "not available" if not has_move or not field["own_can_gimmick"].any()
            else "available, move without it" if is_move else "available, switch")
    assert set(names["format"]) == {"gen8ou", "gen9ou"}
    assert set(names["generation"]) == {"gen 8", "gen 9"}
    assert len(set(names["rating"])) > 3


def test_a_decision_without_a_recorded_mask_is_sorted_by_its_phase(rows: Rows) -> None:
    unmasked = Rows(**{**vars(rows), "legal_N": np.zeros_like(rows.legal_N)})
    is_switch = rows.action_N >= 4
    assert (unmasked.is_voluntary_N == is_switch & (rows.phase_N == "turn")).all()
    plain = Rows(**{**vars(unmasked), "phases": ()})
    assert (plain.is_voluntary_N == is_switch).all()


def test_fields_of_another_kind_are_not_read(tmp_path: Path) -> None:
    schema = tmp_path / "mine.toml"
    schema.write_text('name = "mine"\nversion = 1\n[[field]]\nname = "phase"\nkind = "category"\nvocab = "phase"\n'
                      '[[field]]\nname = "own_alive"\nkind = "category"\nvocab = "phase"\n'
                      '[[field]]\nname = "own_move_damage"\nkind = "number"\nwidth = 3\n', "utf-8")
    raw = tmp_path / "raw.jsonl"
    raw.write_text('{"replay_id": "a", "player": "p1", "total_reward": 1, "steps": [{"observation": {"phase": 3}, '
                   '"action_type": 0, "action_target": 1, "reward": 0, "done": true}]}\n', "utf-8")
    preprocess([raw], tmp_path / "shards", schema=str(schema), workers=1)
    data = ShardDataset(tmp_path / "shards")
    rows = read_rows(data)
    assert dict(rows.fields) == {}
    assert strongest_move(rows) is None
    assert {*slices_of(rows, data.shards)} == {"kind", "turn", "legal_actions", "action"}
