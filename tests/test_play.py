"""Playing in the simulator: the parity of live and converted observations, determinism, bots, faults, the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from command_line import run_cli
from simulating import Eager, Watched, compare_with_converted, showdown_or_skip

from pipelines.convert import convert_battles
from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.contract.schema import load_schema
from poke_bc.play.contestant import MaxPower, Random
from poke_bc.play.match import Played, Setup, play
from poke_bc.play.player import Player
from poke_bc.play.ratings import wilson
from poke_bc.play.series import LOGS, Score, read_teams, series, setups
from poke_bc.play.simulator import Simulator, find_showdown
from poke_bc.policy import create_policy

FORMATS = (*(f"gen{gen}randombattle" for gen in range(1, 10)), "gen5randombattle@@@Team Preview",
           "gen9randombattle@@@Team Preview", "gen7bssfactory")
"""The last shows six and brings three."""
SMALL = {"width": 16, "embedding": 4, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def showdown() -> Path:
    return showdown_or_skip()


@pytest.fixture(scope="module")
def simulator(showdown: Path) -> Iterator[Simulator]:
    with Simulator(showdown) as running:
        yield running


def small_player(network: str = "entity", *, gimmick_head: bool = True, **options: Any) -> Player:
    torch.manual_seed(5)
    policy = create_policy(network, load_schema("singles"), gimmick_head=gimmick_head, **SMALL)
    return Player(policy, network, **options)


def lines_of(path: Path) -> list[dict[str, Any]]:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return [json.loads(line) for line in stream.read().splitlines()]


@pytest.fixture(scope="module")
def played(showdown: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Any]], list[Score]]:
    """A battle of each format: saved logs, what was known live, and the scores."""
    folder = tmp_path_factory.mktemp("played")
    one, two = Watched(small_player("entity")), Watched(small_player("history", gimmick_head=False))
    drawing, strong = Watched(Random()), Watched(Eager())
    scores = []
    for number, format_ in enumerate(FORMATS):
        pair = ((strong, one), (two, strong), (drawing, strong))[number % 3]
        scores.append(series(*pair, 1, format_=format_, seed=9 + number, save_logs=folder / str(number),
                             showdown=showdown))
    seen = {place: decisions for each in (one, two, drawing, strong) for place, decisions in each.seen.items()}
    return folder, seen, scores


@pytest.fixture(scope="module")
def converted(played: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("converted") / "raw.jsonl"
    convert_battles([str(played[0])], out, workers=1, salt="s")
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_every_battle_is_played_and_no_choice_refused(played: Any) -> None:
    for score in played[2]:
        assert (score.battles, score.refused, score.broken_off) == (1, 0, {}), score


def test_live_observations_masks_and_actions_are_those_of_convert(played: Any, converted: list[dict[str, Any]]) -> None:
    """Of every generation, with and without team preview, field by field."""
    rows, used = compare_with_converted(played[1], converted)
    assert len(converted) == 2 * len(FORMATS)
    assert set(rows) == {format_.split("@@@")[0] for format_ in FORMATS}
    assert min(rows.values()) > 20
    assert {"mega", "z", "dynamax", "tera"} <= used.keys()


def test_saved_logs_tell_no_name_and_come_in_the_order_of_the_battles(showdown: Path, tmp_path: Path) -> None:
    series(MaxPower(), MaxPower(), 6, format_="gen1randombattle", save_logs=tmp_path, showdown=showdown)
    records = lines_of(tmp_path / LOGS)
    assert [record["id"] for record in records] == [f"gen1randombattle-0-{number}" for number in range(6)]
    for record in records:
        named = {line for line in record["spectator"] if line.startswith("|player|")}
        assert named == {"|player|p1|Alpha||", "|player|p2|Beta||"}


def shortened(played: Played) -> tuple[Any, ...]:
    return (played.number, played.winner, played.turns, played.record["spectator"], played.decisions)


def test_the_same_seed_gives_the_same_battles_however_many_are_played_side_by_side(simulator: Simulator) -> None:
    def battles(side_by_side: int, seed: int = 3) -> list[tuple[Any, ...]]:
        planned = setups(small_player("history"), MaxPower(), 3, format_="gen4randombattle", seed=seed)
        return sorted(map(shortened, play(simulator, planned, side_by_side=side_by_side)))

    alone = battles(1)
    assert battles(4) == alone
    assert battles(4, seed=4) != alone


def test_pairs_have_the_same_teams_and_dice_with_exchanged_seats() -> None:
    one, two = Random(), MaxPower()
    first, second, third = setups(one, two, 3)
    assert (first.seed, first.teams) == (second.seed, second.teams) != (third.seed, third.teams)
    assert [first.contestants[player] for player in ("p1", "p2")] == [one, two]
    assert [second.contestants[player] for player in ("p1", "p2")] == [two, one]
    assert first.id != second.id
    assert [each.seed for each in setups(one, two, 9)][:3] == [first.seed, second.seed, third.seed]


def test_max_power_beats_random(showdown: Path) -> None:
    score = series(MaxPower(), Random(), 10, format_="gen1randombattle", showdown=showdown)
    assert score.battles == 10
    assert score.rate > 0.6


def test_the_score_counts_a_tie_half_and_each_seat_right() -> None:
    score = Score("one", "two", "gen9ou", 0)
    seats = {"p1": Random(), "p2": Random()}
    for number, (winner, error) in enumerate([("p1", ""), ("p1", ""), ("", ""), ("p2", ""), ("", "simulator: x")]):
        score.add(Played(Setup(str(number), "gen9ou", [], seats, {}), number, winner, turns=10, error=error))
    assert (score.wins, score.losses, score.ties, score.broken_off.total()) == (2, 1, 1, 1)
    assert score.points == {0: 1.0, 1: 0.0, 2: 0.5, 3: 1.0}
    assert score.to_dict()["interval"] == list(wilson(2.5, 4))


# --- faults -------------------------------------------------------------------------------------------------------


def test_what_is_missing_says_how_to_install_it(tmp_path: Path, showdown: Path) -> None:
    with pytest.raises(UsageError, match="not there") as error:
        find_showdown(tmp_path)
    assert "npm install pokemon-showdown@0.11.11" in error.value.hint
    (tmp_path / "package.json").write_text('{"name": "pokemon-showdown", "version": "0.9.1"}')
    with pytest.raises(UsageError, match=r"0\.9\.1") as error:
        find_showdown(tmp_path)
    assert "npm install" in error.value.hint
    (tmp_path / "package.json").write_text('{"name": "pokemon-showdown", "version": "0.11.11"}')
    with pytest.raises(UsageError, match="never built"):
        find_showdown(tmp_path)
    with pytest.raises(UsageError, match="not found") as error:
        Simulator(showdown, node="no-such-node")
    assert "nodejs.org" in error.value.hint


def test_a_simulator_that_is_killed_ends_the_match_with_an_error(showdown: Path) -> None:
    with Simulator(showdown) as simulator:
        battles = play(simulator, setups(Random(), Random(), 50), side_by_side=2)
        next(battles)
        os.kill(simulator.process.pid, signal.SIGKILL)
        with pytest.raises(PlayError, match="has ended"):
            list(battles)


def test_a_simulator_that_does_not_answer_is_not_waited_for_forever(showdown: Path, tmp_path: Path) -> None:
    with Simulator(showdown, wait_s=0.2) as simulator, pytest.raises(PlayError, match=r"not answered for 0\.2 s"):
        list(simulator.events())
    broken = tmp_path / "pokemon-showdown"
    (broken / "dist" / "sim").mkdir(parents=True)
    (broken / "package.json").write_text('{"name": "pokemon-showdown", "version": "0.11.11"}')
    (broken / "dist" / "sim" / "index.js").write_text("throw new Error('half a package')")
    with pytest.raises(PlayError, match="half a package"):
        Simulator(broken)


class Stubborn(Random):
    """Answers what cannot be, whenever it may."""

    name = "stubborn"

    def answer(self, chairs: Any) -> list[str]:
        return ["move 9"] * len(chairs)


def test_refused_choices_are_counted_and_left_to_the_simulator(simulator: Simulator) -> None:
    (battle,) = play(simulator, setups(Stubborn(), Random(), 1))
    assert battle.error == ""
    assert battle.turns > 0
    assert battle.refused["p1"] == battle.decisions["p1"] > 0
    assert battle.refused["p2"] == 0
    rejected = [entry.get("rejected", False) for entry in battle.record["p1"]]
    assert rejected == [True, False] * (len(rejected) // 2)


def test_a_battle_that_cannot_go_on_is_broken_off_and_the_others_are_played(simulator: Simulator) -> None:
    def mixed() -> Iterator[Setup]:
        yield from setups(Random(), Random(), 1, format_="gen9nonsense")
        yield from setups(Random(), Random(), 1, format_="gen9randomdoublesbattle")
        yield from setups(Random(), Random(), 1)

    found = sorted(play(simulator, mixed()), key=lambda battle: battle.number)
    assert "no format gen9nonsense" in found[0].error
    assert "not singles" in found[1].error
    assert (found[2].error, found[2].turns > 0) == ("", True)


def test_names_are_data_and_never_commands(simulator: Simulator) -> None:
    name = '\n>eval process.exit(1)\n|win|x"}'
    simulator.start(900, {"formatid": "gen9randombattle", "seed": [1, 2, 3, 4],
                          "p1": {"name": name, "seed": [1, 2, 3, 4]}, "p2": {"name": ">p1 forcewin", "seed": [1] * 4}})
    simulator.choose(900, {"p1": "move 1\n>eval process.exit(1)"})
    assert any(event.messages for event in simulator.events())
    simulator.drop(900)
    assert simulator.process.poll() is None


def test_a_format_that_cannot_be_played_is_one_clear_error(showdown: Path) -> None:
    for format_, why in (("gen9nonsense", "no format"), ("gen9randomdoublesbattle", "not singles")):
        with pytest.raises(UsageError, match=why):
            series(Random(), Random(), 20, format_=format_, showdown=showdown)


TEAM = """=== [gen9ou] one ===

Ting-Lu @ Leftovers
Ability: Vessel of Ruin
Tera Type: Water
EVs: 252 HP / 4 Atk / 252 SpD
Careful Nature
- Earthquake
- Whirlwind
- Stealth Rock
- Rest

Dragonite @ Heavy-Duty Boots
Ability: Multiscale
EVs: 252 Atk / 4 SpD / 252 Spe
Adamant Nature
- Dragon Dance
- Earthquake
- Extreme Speed
- Outrage
"""


def test_teams_from_a_folder_are_checked_and_played(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "teams.txt").write_text(TEAM)
    (packed,) = read_teams(simulator, "gen9ou", tmp_path)
    (battle,) = play(simulator, setups(Random(), small_player(), 1, format_="gen9ou", teams=[packed]))
    assert battle.error == ""
    assert "|poke|p1|Ting-Lu|" in battle.record["spectator"]
    (tmp_path / "teams.txt").write_text(TEAM.replace("Outrage", "Surf").replace("Multiscale", "Blaze"))
    with pytest.raises(UsageError, match=r"teams\.txt: not a team for gen9ou: .*Blaze"):
        read_teams(simulator, "gen9ou", tmp_path)
    (tmp_path / "teams.txt").unlink()
    with pytest.raises(UsageError, match="no teams"):
        read_teams(simulator, "gen9ou", tmp_path)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_plays_saves_and_tells(showdown: Path, tmp_path: Path) -> None:
    done = run_cli("play", "random", "--against", "max-power", "--battles", "2", "--save-logs", "logs", "--json",
                   "--showdown", str(showdown), cwd=tmp_path)
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["player"], told["against"], told["battles"], told["refused"]) == ("random", "max-power", 2, 0)
    assert told["decisions"] > 20
    assert len(lines_of(tmp_path / "logs" / LOGS)) == 2


def test_without_the_package_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    done = run_cli("play", "random", "--showdown", str(tmp_path), cwd=tmp_path)
    assert done.code == 2
    assert "npm install pokemon-showdown@0.11.11" in done.stderr
