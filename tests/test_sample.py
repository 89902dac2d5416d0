"""Claims about the sample in data/sample: battles between programs, and a part of them as raw trajectories."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command_line import environment

from poke_bc.contract.schema import load_schema

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
GENERATIONS = {4, 6, 7, 8, 9}
HAZARDS = ("spikes", "toxic_spikes", "stealth_rock", "sticky_web")


def text_of(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return bytes(stream.read())


@pytest.fixture(scope="module")
def battles() -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(SAMPLE / "battles.jsonl.zst").splitlines()]


@pytest.fixture(scope="module")
def trajectories() -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(SAMPLE / "raw.jsonl.zst").splitlines()]


@pytest.fixture(scope="module")
def steps(trajectories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for trajectory in trajectories for step in trajectory["steps"]]


def test_the_sample_is_large_enough_to_learn_from_and_small_enough_to_commit(
    battles: list[dict[str, Any]], trajectories: list[dict[str, Any]], steps: list[dict[str, Any]],
) -> None:
    formats = Counter(battle["format"] for battle in battles)
    assert formats == {f"gen{gen}randombattle": 200 for gen in GENERATIONS}
    assert {trajectory["gen"] for trajectory in trajectories} == GENERATIONS
    readme = (SAMPLE / "README.md").read_text("utf-8")
    assert f"{len(battles):,} battle records" in readme
    assert f"{len(trajectories):,} trajectories, {len(steps):,} decisions" in readme
    assert f"{sum(step['label'] == 'none' for step in steps)} decisions have no label" in readme
    assert sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file()) < 2_000_000


def test_every_battle_is_played_to_its_end_by_both_players(battles: list[dict[str, Any]]) -> None:
    """No forfeit, no timeout, and hardly an answer that was refused, for a trap nobody had seen."""
    assert len({battle["id"] for battle in battles}) == len(battles)
    refused = answers = 0
    for battle in battles:
        ends = [line for line in battle["spectator"] if line == "|tie" or line.startswith("|win|")]
        assert len(ends) == 1
        odd = re.compile(r"\|(-message|inactive|error|bigerror|t:)\|")
        assert not [line for line in battle["spectator"] if odd.match(line)]
        teams = {line for line in battle["spectator"] if line.startswith("|player|")}
        assert teams == {"|player|p1|Alpha||", "|player|p2|Beta||"}
        if ends != ["|tie"]:
            loser = "p2" if ends == ["|win|Alpha"] else "p1"
            assert sum(line.startswith(f"|faint|{loser}a: ") for line in battle["spectator"]) == 6
        for decision in (*battle["p1"], *battle["p2"]):
            assert re.match(r"(move|switch) \w", decision["choice"])
            assert not decision["request"].get("wait")
            answers += 1
            refused += decision.get("rejected", False)
    assert refused < 0.001 * answers


def test_the_players_use_what_their_generation_offers(battles: list[dict[str, Any]]) -> None:
    used = Counter((battle["format"][3], choice["choice"].split()[2]) for battle in battles
                   for choice in (*battle["p1"], *battle["p2"]) if len(choice["choice"].split()) == 3
                   and choice["choice"].startswith("move "))
    expected = {("6", "mega"), ("7", "mega"), ("7", "zmove"), ("8", "dynamax"), ("9", "terastallize")}
    assert used.keys() == expected
    assert min(used.values()) > 50


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
    assert compared > 4_000


def turn_choices(trajectory: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The observation of each turn's choice, team preview and forced switches left out."""
    return {step["observation"]["turn"]: step["observation"] for step in trajectory["steps"] if any(step["legal"][:4])}


def test_rebuilding_reproduces_the_committed_sample(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE / "make_raw.py"), "--out", str(tmp_path)]
    subprocess.run(command, env=environment(), check=True)
    # Unpacked: another version of the zstd library may compress the same text into other bytes.
    assert text_of(tmp_path / "raw.jsonl.zst") == text_of(SAMPLE / "raw.jsonl.zst")


def test_battles_played_again_are_those_of_the_sample(battles: list[dict[str, Any]], tmp_path: Path) -> None:
    if not shutil.which("node") or "SHOWDOWN" not in os.environ or importlib.util.find_spec("poke_env") is None:
        pytest.skip("SAMPLE NOT PLAYED AGAIN: needs node, poke-env, SHOWDOWN=FOLDER of npm's pokemon-showdown@0.11.11")
    command = [sys.executable, str(SAMPLE / "make_battles.py"), "--out", str(tmp_path), "--battles", "2"]
    subprocess.run(command, env=environment() | {"SHOWDOWN": os.environ["SHOWDOWN"]}, check=True)
    played = text_of(tmp_path / "battles.jsonl.zst").splitlines()
    assert [json.loads(line) for line in played] == battles[:10]
