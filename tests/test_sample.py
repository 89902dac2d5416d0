"""Claims about the sample in data/sample: simulated battles as raw trajectories, schema `basic`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command_line import environment

from poke_bc.contract.schema import load_schema

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
HAZARDS = ("spikes", "toxic_spikes", "stealth_rock", "sticky_web")


def text_of(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return bytes(stream.read())


@pytest.fixture(scope="module")
def trajectories() -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(SAMPLE / "raw.jsonl.zst").splitlines()]


@pytest.fixture(scope="module")
def steps(trajectories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for trajectory in trajectories for step in trajectory["steps"]]


def test_the_sample_is_large_enough_to_learn_from_and_small_enough_to_commit(
    trajectories: list[dict[str, Any]], steps: list[dict[str, Any]],
) -> None:
    assert {trajectory["gen"] for trajectory in trajectories} == set(range(1, 10))
    readme = (SAMPLE / "README.md").read_text("utf-8")
    assert f"{len(trajectories):,} trajectories, {len(steps):,} decisions" in readme
    assert f"{sum(step['label'] == 'none' for step in steps)} decisions have no label" in readme
    assert sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file()) < 2_000_000


def test_both_views_of_each_battle_lie_side_by_side_and_agree(trajectories: list[dict[str, Any]]) -> None:
    for first, second in zip(trajectories[::2], trajectories[1::2], strict=True):
        assert first["replay_id"] == second["replay_id"]
        assert (first["player"], second["player"]) == ("p1", "p2")
        assert first["winner"] == second["winner"]
        assert first["total_reward"] == -second["total_reward"]
    assert len({line["replay_id"] for line in trajectories}) == len(trajectories) / 2


def test_every_labelled_action_is_legal(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        assert len(step["legal"]) == 10
        assert step["label"] == "none" or step["legal"][4 * step["action_type"] + step["action_target"]]


def test_turns_never_go_back_and_only_the_last_step_is_done(trajectories: list[dict[str, Any]]) -> None:
    for line in trajectories:
        turns = [step["observation"]["turn"] for step in line["steps"]]
        assert turns == sorted(turns)
        assert [step["done"] for step in line["steps"]] == [False] * (len(turns) - 1) + [True]
        assert [step["reward"] for step in line["steps"]] == [0.0] * (len(turns) - 1) + [line["total_reward"]]


def test_observations_hold_the_keys_of_basic(steps: list[dict[str, Any]]) -> None:
    basic = load_schema("basic")
    active = {"active_species_id", "active_hp", "active_status", "opp_active_species_id", "opp_active_hp"}
    for seen in (step["observation"] for step in steps):
        assert seen.keys() == (basic.field_names if seen["turn"] else basic.field_names - active)
        basic.pack(seen)
        assert [hp == 0 for hp in seen["team_hp"]] == seen["team_fainted"]


def test_what_a_player_sees_of_the_opponent_is_what_the_opponent_has(
    trajectories: list[dict[str, Any]],
) -> None:
    """The two views come from two players' requests: each checks what the other was read to mean."""
    species = load_schema("singles").vocabularies["species"].ids
    disguised = {species[name] for name in ("zoroark", "zorua", "zoroarkhisui", "zoruahisui")}
    compared = 0
    for first, second in zip(trajectories[::2], trajectories[1::2], strict=True):
        mine, theirs = turn_choices(first), turn_choices(second)
        for turn in mine.keys() & theirs.keys():
            me, opp = mine[turn], theirs[turn]
            if opp["active_species_id"] in disguised:
                continue
            assert me["opp_active_hp"] == pytest.approx(opp["active_hp"], abs=0.0101)  # shown in whole percent
            assert me["opp_active_species_id"] == opp["active_species_id"]
            assert all(me[f"opp_{hazard}"] == opp[f"own_{hazard}"] for hazard in HAZARDS)
            assert (me["weather_id"], me["terrain_id"]) == (opp["weather_id"], opp["terrain_id"])
            compared += 1
    assert compared > 10_000


def turn_choices(trajectory: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The observation of each turn's choice, team preview and forced switches left out."""
    return {step["observation"]["turn"]: step["observation"] for step in trajectory["steps"] if any(step["legal"][:4])}


def test_rebuilding_reproduces_the_committed_sample(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE / "make_raw.py"), "--out", str(tmp_path)]
    subprocess.run(command, env=environment(), check=True)
    # Unpacked: another version of the zstd library may compress the same text into other bytes.
    assert text_of(tmp_path / "raw.jsonl.zst") == text_of(SAMPLE / "raw.jsonl.zst")
