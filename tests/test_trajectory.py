"""The exact reader: one line -> one checked trajectory, or what is wrong and where."""

from __future__ import annotations

import json
import math

import pytest
from bad_lines import BAD, STEP, good
from hypothesis import given
from hypothesis import strategies as st
from trajectories import FULL, make_trajectory, to_line

from poke_bc.contract.nesting import DEEPEST, nesting, skeleton
from poke_bc.contract.schema import load_schema
from poke_bc.contract.trajectory import BadLine, Trajectory, read_trajectory

BASIC = load_schema("basic")


def read(raw: dict[str, object]) -> Trajectory:
    return read_trajectory(to_line(raw), BASIC)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_refused_with_path_and_reason(name: str) -> None:
    with pytest.raises(BadLine) as caught:
        read_trajectory(BAD[name].line, BASIC)
    assert caught.value.path == BAD[name].path
    assert BAD[name].reason in caught.value.reason
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=80))
def test_bytes_of_any_sort_are_refused_not_crashed_on(line: bytes) -> None:
    with pytest.raises(BadLine):
        read_trajectory(line, BASIC)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["replay_id", "player", "steps", "observation", "turn", "team_hp", "x"]), inner
            )
        ),
    )
)
def test_json_of_any_sort_is_refused_not_crashed_on(value: object) -> None:
    with pytest.raises(BadLine):
        read_trajectory(json.dumps(value).encode(), BASIC)


def test_a_reason_never_quotes_megabytes() -> None:
    for raw in (good() | {"player": "x" * 10**6}, good() | {"gen": int("9" * 4000)}):
        with pytest.raises(BadLine) as caught:
            read(raw)
        assert len(caught.value.reason) < 300


def test_an_action_is_its_target_or_four_more_for_a_switch() -> None:
    raw = good()
    for kind, target, action in ((0, 0, 0), (0, 3, 3), (1, 0, 4), (1, 5, 9), (1.0, 5.0, 9)):
        raw["steps"][STEP] |= {"action_type": kind, "action_target": target}
        assert read(raw).steps[STEP].action == action


def test_only_observed_choices_are_labels_and_only_censored_ones_have_candidates() -> None:
    raw = good()
    some = [True, False, True, *[False] * 7]
    for label, action, candidates in (("observed", 2, 0), (None, 2, 0), ("censored", -1, 0b101), ("none", -1, 0)):
        raw["steps"][STEP] |= {"label": label, "candidates": some}
        step = read(raw).steps[STEP]
        assert (step.action, step.candidates) == (action, candidates)


def test_a_choice_that_nobody_saw_needs_no_action() -> None:
    raw = good()
    for name in ("action_type", "action_target"):
        del raw["steps"][STEP][name]
    raw["steps"][STEP]["label"] = "none"
    assert read(raw).steps[STEP].action == -1


def test_what_is_missing_takes_its_default() -> None:
    raw = {"replay_id": "a", "player": "p2", "steps": [{"observation": {}, "action_type": 0, "action_target": 0}]}
    step = read(raw).steps[0]
    assert (step.ids, step.numbers) == BASIC.pack({})
    assert (step.legal, step.gimmick, step.reward, step.done, step.weight, step.label) == (
        0,
        0,
        0.0,
        False,
        1.0,
        "observed",
    )


def test_a_missing_total_reward_is_the_sum_of_the_rewards() -> None:
    raw = good()
    del raw["total_reward"]
    for step in raw["steps"]:
        step["reward"] = 0.1
    assert read(raw).keys["total_reward"] == math.fsum([0.1] * 3)


def test_whole_numbers_may_be_written_with_a_point_or_an_exponent() -> None:
    line = to_line(good()).replace(b'"turn": 3,', b'"turn": 3.0,').replace(b'"weather_id": 3', b'"weather_id": 0.3e1')
    assert read_trajectory(line, BASIC) == read(good())


def test_unknown_keys_are_allowed_and_counted_where_they_have_a_value() -> None:
    raw = good() | {"x": {"y": 1}, "empty": None}
    raw["steps"][0]["x"] = 0
    raw["steps"][1]["x"] = False
    raw["steps"][2]["observation"]["x"] = [None]
    assert read(raw).unknown == {"$.x": 1, "$.steps[].x": 2, "$.steps[].observation.x": 1}


def test_fields_with_a_value_are_counted() -> None:
    raw = good()
    raw["steps"][STEP]["observation"]["active_hp"] = None
    assert read(raw).present == {"turn": 3, **dict.fromkeys(set(FULL) - {"turn", "active_hp"}, 1)}


def test_made_trajectories_are_good_and_use_all_three_labels() -> None:
    steps = [step for battle in range(30) for step in read(make_trajectory(battle)).steps]
    assert {step.label for step in steps} == {"observed", "censored", "none"}
    assert {step.gimmick for step in steps} == {0, 1, 2, 3, 4}


# --- nesting ------------------------------------------------------------------------------------------------


def depth_of(value: object) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)
    return 0


texts = st.text(st.sampled_from('[]{}"\\NIaé,: \u2028'), max_size=8)
nested = st.recursive(st.one_of(st.none(), st.integers(), texts),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(value=nested, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_nesting_is_that_of_the_parsed_value_whatever_stands_in_its_strings(value: object, ascii_only: bool,
                                                                          indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    bare = skeleton(text)
    assert nesting(bare) == depth_of(value)
    assert set(bare) <= set(b"{}[]")


def test_nesting_up_to_the_limit_is_good_and_beyond_it_is_not() -> None:
    raw = good()
    value: object = 1
    for _ in range(DEEPEST - 1):
        value = [value]
    assert read(raw | {"x": value}).unknown == {"$.x": 1}
    with pytest.raises(BadLine, match=r"nested deeper than 64"):
        read(raw | {"x": [value]})
