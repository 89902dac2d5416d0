"""Claims about the sample in data/sample: simulated battles as raw trajectories, schema `basic`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
RECORDS = ROOT.parent / "shared" / "sim"

HIGHEST = {"spikes": 3, "toxic_spikes": 2, "stealth_rock": True, "sticky_web": True}
OBSERVATION_KEYS = {
    *("turn", "active_species_id", "active_hp", "active_status", "team_hp", "team_status", "team_fainted"),
    *("opp_active_species_id", "opp_active_hp", "opp_team_revealed", "weather_id", "terrain_id", "team_id"),
    *(f"{side}_{hazard}" for side in ("own", "opp") for hazard in HIGHEST),
}


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
    trajectories: list[dict[str, Any]],
) -> None:
    assert len(trajectories) >= 300
    assert (SAMPLE / "raw.jsonl.zst").stat().st_size < 2_000_000


def test_both_views_of_each_battle_lie_side_by_side_and_agree(trajectories: list[dict[str, Any]]) -> None:
    for first, second in zip(trajectories[::2], trajectories[1::2], strict=True):
        assert first["replay_id"] == second["replay_id"]
        assert (first["player"], second["player"]) == ("p1", "p2")
        assert first["winner"] == second["winner"]
        assert first["total_reward"] == -second["total_reward"]
    assert len({line["replay_id"] for line in trajectories}) == len(trajectories) / 2


def test_every_action_is_legal(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        assert len(step["legal"]) == 10
        assert step["legal"][4 * step["action_type"] + step["action_target"]]


def test_no_legal_switch_goes_to_a_fainted_pokemon(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        fainted = step["observation"]["team_fainted"]
        assert not any(ok and gone for ok, gone in zip(step["legal"][4:], fainted, strict=True))


def test_turns_never_go_back_and_only_the_last_step_is_done(trajectories: list[dict[str, Any]]) -> None:
    for line in trajectories:
        turns = [step["observation"]["turn"] for step in line["steps"]]
        assert turns == sorted(turns)
        assert [step["done"] for step in line["steps"]] == [False] * (len(turns) - 1) + [True]
        assert [step["reward"] for step in line["steps"]] == [0.0] * (len(turns) - 1) + [line["total_reward"]]


def test_observations_hold_the_keys_of_basic_in_range(steps: list[dict[str, Any]]) -> None:
    for obs in (step["observation"] for step in steps):
        assert obs.keys() == OBSERVATION_KEYS
        assert all(0 <= hp <= 1 for hp in [obs["active_hp"], obs["opp_active_hp"], *obs["team_hp"]])
        assert [hp == 0 for hp in obs["team_hp"]] == obs["team_fainted"]
        for side in ("own", "opp"):
            assert all(0 <= obs[f"{side}_{hazard}"] <= most for hazard, most in HIGHEST.items())


def test_species_ids_are_those_of_the_table(steps: list[dict[str, Any]]) -> None:
    table = json.loads((SAMPLE / "species.json").read_text())
    seen = {0}
    for obs in (step["observation"] for step in steps):
        seen |= {obs["active_species_id"], obs["opp_active_species_id"], *obs["opp_team_revealed"]}
        assert obs["opp_active_species_id"] in obs["opp_team_revealed"]
    assert sorted(seen) == list(range(len(table) + 1))


def test_what_a_player_sees_of_the_opponent_is_what_the_opponent_has(
    trajectories: list[dict[str, Any]],
) -> None:
    """The two views come from two streams: each checks what the other was read to mean."""
    compared = 0
    for first, second in zip(trajectories[::2], trajectories[1::2], strict=True):
        mine, theirs = turn_choices(first), turn_choices(second)
        for turn in mine.keys() & theirs.keys():
            me, opp = mine[turn], theirs[turn]
            # The opponent's HP is shown in whole percent.
            assert me["opp_active_hp"] == pytest.approx(opp["active_hp"], abs=0.0101)
            assert me["opp_active_species_id"] == opp["active_species_id"]
            assert all(me[f"opp_{hazard}"] == opp[f"own_{hazard}"] for hazard in HIGHEST)
            assert (me["weather_id"], me["terrain_id"]) == (opp["weather_id"], opp["terrain_id"])
            compared += 1
    assert compared > 4_000


def turn_choices(trajectory: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The observation of each turn's choice, forced switches left out."""
    asked = [step for step in trajectory["steps"] if any(step["legal"][:4])]
    return {step["observation"]["turn"]: step["observation"] for step in asked}


def test_rebuilding_reproduces_the_committed_sample(tmp_path: Path) -> None:
    if not RECORDS.is_dir():
        pytest.skip(f"no battle records to rebuild the sample from: {RECORDS} is missing")
    command = [sys.executable, str(SAMPLE / "make_sample.py"), str(RECORDS), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    assert (tmp_path / "species.json").read_bytes() == (SAMPLE / "species.json").read_bytes()
    # Unpacked: another version of the zstd library may pack the same text into other bytes.
    assert text_of(tmp_path / "raw.jsonl.zst") == text_of(SAMPLE / "raw.jsonl.zst")
