"""Same-seed duels, sequential tests, tournaments, and Ctrl-C in the middle of them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command_line import environment, run_cli
from simulating import showdown_or_skip

from poke_bc.cli.errors import tell
from poke_bc.cli.tournament import play_tournament
from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.play import series as module
from poke_bc.play.contestant import Contestant, Random
from poke_bc.play.match import Played, Setup
from poke_bc.play.ratings import Sprt, expected_score, paired_interval
from poke_bc.play.series import LOGS, Interrupted, Score, SeriesError, in_order, series
from poke_bc.play.tournament import Tournament

SCRIPT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a process that a script left in the background
from poke_bc.cli import app
app(sys.argv[1:])
"""


def named(name: str) -> Contestant:
    found = Random()
    found.name = name
    return found


def saved(path: Path) -> list[str]:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return [json.loads(line)["id"] for line in stream.read().splitlines()]


Outcome = Callable[[int, Setup], float]
"""Number of a battle -> points of p1."""


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Battles without a simulator: they end in a random order, as `outcome` says; number `cut` is interrupted."""
    def install(outcome: Outcome, *, shuffle: int = 0, cut: int | None = None, broken: tuple[int, ...] = ()) -> None:
        def play(_: Any, setups: Iterable[Setup], *, side_by_side: int) -> Iterator[Played]:
            dice, open_ = random.Random(shuffle), list[tuple[int, Setup]]()
            planned = enumerate(setups)
            for ended in range(10**6):
                open_ += [next_ for _, next_ in zip(range(side_by_side - len(open_)), planned, strict=False)]
                if not open_:
                    return
                if ended == cut:
                    raise KeyboardInterrupt
                number, setup = open_.pop(dice.randrange(len(open_)))
                winner = {1.0: "p1", 0.5: "", 0.0: "p2"}[outcome(number, setup)]
                yield Played(setup, number, winner, 10, "lost" if number in broken else "", record={"id": setup.id})

        monkeypatch.setattr(module, "Simulator", lambda _: contextlib.nullcontext())
        monkeypatch.setattr(module, "play", play)

    return install


def strong(elos: dict[str, float]) -> Outcome:
    """Who is how strong; the same battle always ends alike."""
    def outcome(number: int, setup: Setup) -> float:
        one, two = (setup.contestants[player].name for player in ("p1", "p2"))
        chance = expected_score(elos[one] - elos[two])
        return float(random.Random(f"{setup.id} {one}").random() < chance)

    return outcome


def test_pairs_are_those_whose_battles_were_both_played_to_their_end() -> None:
    score = Score("one", "two", "gen9ou", 0, wins=4, losses=1, ties=1)
    score.points = {5: 1.0, 4: 0.5, 1: 0.0, 0: 1.0, 3: 1.0, 6: 1.0}
    assert score.pairs == [(1.0, 0.0), (0.5, 1.0)]
    assert score.units == [0.5, 0.75]
    told = score.to_dict()["paired"]
    assert (told["pairs"], told["win_rate"], *told["interval"]) == (2, *paired_interval(score.pairs))
    score.paired = False
    assert score.units == [1.0, 0.0, 1.0, 0.5, 1.0, 1.0]
    assert score.to_dict()["paired"] is None


def test_a_contestant_meets_itself_with_new_teams_and_dice_each_time(outcomes: Any) -> None:
    seen: list[Setup] = []
    outcomes(lambda _, setup: seen.append(setup) or 0.5)
    alone, against = series(named("one"), named("one"), 4), series(named("one"), named("two"), 4)
    assert len({tuple(setup.seed) for setup in seen[:4]}) == 4
    assert len({tuple(setup.seed) for setup in seen[4:]}) == 2
    assert (len(alone.pairs), len(against.pairs)) == (0, 2)


def test_battles_are_put_in_the_order_of_their_numbers() -> None:
    battles = [Played(Setup("", "", [], {}, {}), number) for number in (2, 0, 3, 1, 5)]
    assert [battle.number for battle in in_order(battles)] == [0, 1, 2, 3]


def test_a_sequential_test_ends_alike_whichever_battles_end_first(outcomes: Any, tmp_path: Path) -> None:
    test, found = Sprt(0, 60), []
    for shuffle, side_by_side in ((1, 1), (2, 8), (3, 32)):
        outcomes(strong({"one": 120, "two": 0}), shuffle=shuffle, broken=(4, 11))
        folder = tmp_path / str(shuffle)
        score = series(named("one"), named("two"), 5000, sprt=test, side_by_side=side_by_side, save_logs=folder)
        found.append((score.points, score.decided, score.broken_off, saved(folder / LOGS)))
    assert found[0] == found[1] == found[2]
    points, decided, broken, logs = found[0]
    assert decided == "elo1"
    assert 20 < len(points) < 4000
    assert broken == {"lost": 2}
    assert len(logs) == len(points) == max(points) + 1 - 2
    assert test.decide(score.units[:-1]) is None, "it was decided by the last pair and not before"
    told = score.to_dict()["sprt"]
    assert told["decided"] == "elo1"
    assert told["llr"] >= told["bounds"][1]


def test_a_test_that_nothing_decides_ends_with_the_last_battle(outcomes: Any) -> None:
    outcomes(lambda number, _: 0.5)
    score = series(named("one"), named("two"), 9, sprt=Sprt(-50, 50))
    assert (score.battles, score.ties, score.decided) == (9, 9, None)


def test_an_interrupted_series_keeps_what_was_finished(outcomes: Any, tmp_path: Path) -> None:
    outcomes(strong({"one": 0, "two": 0}), shuffle=4, cut=7)
    with pytest.raises(Interrupted) as stopped:
        series(named("one"), named("two"), 40, save_logs=tmp_path)
    score = stopped.value.score
    assert score.battles == len(score.points) == 7
    assert max(score.points) > 7, "a gap"
    assert saved(tmp_path / LOGS) == [f"gen9randombattle-0-{number}" for number in sorted(score.points)]


@pytest.fixture
def ends_early(outcomes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that ends after three battles."""
    outcomes(strong({"one": 0, "two": 0}))
    play = module.play

    def cut_off(*given: Any, **options: Any) -> Iterator[Played]:
        yield from islice(play(*given, **options), 3)
        raise PlayError("the simulator has ended", hint="install it again")

    monkeypatch.setattr(module, "play", cut_off)


@pytest.mark.usefixtures("ends_early")
def test_a_simulator_that_ends_leaves_the_tally_and_what_was_finished(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SeriesError, match=r"has ended; \d won, \d lost, 0 tied before") as failed:
        series(named("one"), named("two"), 40, save_logs=tmp_path)
    assert len(saved(tmp_path / LOGS)) == 3
    assert tell(failed.value, ["play", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["battles"], told["wins"] + told["losses"], told["interrupted"]) == (3, 3, False)
    assert told["error"]["what"].startswith("the simulator has ended; ")


@pytest.mark.usefixtures("ends_early")
def test_a_tournament_that_fails_tells_what_was_played() -> None:
    tournament = Tournament([named("one"), named("two")], "one")
    with pytest.raises(SeriesError):
        tournament.play(40)
    assert [score.battles for score in tournament.scores] == [3]


def test_an_interrupt_before_the_first_battle_has_ended_leaves_nothing(outcomes: Any, tmp_path: Path) -> None:
    outcomes(strong({"one": 0, "two": 0}), cut=0)
    with pytest.raises(KeyboardInterrupt) as stopped:
        series(named("one"), named("two"), 40, save_logs=tmp_path)
    assert not isinstance(stopped.value, Interrupted)
    assert list(tmp_path.iterdir()) == []


ELOS = {"good": 150.0, "fair": 0.0, "bad": -150.0}


def test_a_tournament_finds_the_strengths(outcomes: Any, tmp_path: Path) -> None:
    outcomes(strong(ELOS))
    tournament = Tournament([named(name) for name in ELOS], "fair")
    told = []
    tournament.play(600, seed=5, save_logs=tmp_path, progress=lambda *now: told.append(now[:2]))
    assert [(score.one, score.two, score.seed, score.battles) for score in tournament.scores] == [
        ("fair", "good", 5, 600), ("fair", "bad", 6, 600), ("good", "bad", 7, 600)]
    assert told == [(match, 3) for match in (1, 2, 3) for _ in range(600)]
    assert [*tournament.ratings()] == ["good", "fair", "bad"]
    for name, rating in tournament.ratings().items():
        assert rating.low <= ELOS[name] <= rating.high, name
        assert rating.high - rating.low < 120
    shares = tournament.shares()
    assert shares["good"]["bad"] == 1 - shares["bad"]["good"] > 0.75
    logs = [battle for match in (1, 2, 3) for battle in saved(tmp_path / str(match) / LOGS)]
    assert len({*logs}) == 1800, "no two battles of a tournament have one id"


def test_an_interrupted_tournament_rates_those_who_have_met_the_anchor(outcomes: Any) -> None:
    outcomes(strong(ELOS))
    tournament = Tournament([named(name) for name in ELOS], "bad")
    tournament.play(2)
    del tournament.scores[1:]
    outcomes(strong(ELOS), cut=9)
    with pytest.raises(Interrupted):
        tournament.play(40)
    del tournament.scores[0]
    assert tournament.scores[-1].battles == 9
    assert {*tournament.ratings()} == {"good", "bad"}
    assert tournament.shares()["fair"] == {}


def test_a_tournament_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="one is named twice"):
        Tournament([named("one"), named("one")], "one")
    with pytest.raises(UsageError, match="at least two players"):
        Tournament([named("one")], "one")
    with pytest.raises(UsageError, match="--battles 1"):
        Tournament([named("one"), named("two")], "one").play(1)


@pytest.mark.parametrize("players", [["one", "max-power"], ["one", "two"]])
def test_without_poke_env_strengths_are_over_max_power(
    players: list[str], outcomes: Any, capsys: pytest.CaptureFixture[str],
) -> None:
    def contestant(name: str) -> Contestant:
        if name == "heuristics":
            raise UsageError("poke-env is not installed", hint="pip install it")
        return named(name)

    outcomes(strong({"one": 100, "two": 50, "max-power": 0}))
    play_tournament(players, contestant, 60, as_json=True, quiet=True)
    printed = capsys.readouterr()
    assert printed.err == "poke-env is not installed: strengths are over max-power instead (pip install it)\n"
    told = json.loads(printed.out)
    assert told["anchor"] == "max-power"
    assert {rating["player"] for rating in told["ratings"]} == {*players, "max-power"}
    with pytest.raises(UsageError, match="not installed"):
        play_tournament(["one", "heuristics"], contestant, 60, as_json=True, quiet=True)


def test_the_tables_of_a_tournament_say_who_is_how_strong(outcomes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes(strong({"one": 200, "two": -200, "heuristics": 0}))
    play_tournament(["two", "one"], named, 100, as_json=False, quiet=True)
    lines = capsys.readouterr().out.splitlines()
    assert "Elo over heuristics" in lines[0]
    assert [line.split()[1] for line in lines[1:4]] == ["one", "heuristics", "two"]
    assert [line.split()[1] for line in lines[5:8]] == ["one", "heuristics", "two"]
    assert lines[-1] == "300 battles in 3 matches; 0 of 0 choices refused"


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "word"), [
    (["random", "max-power"], "2 players"),
    (["random", "max-power", "--tournament", "--against", "random"], "--tournament does not go with"),
    (["random", "--sprt", "50", "-50"], "--sprt 50 -50: elo0"),
])
def test_what_does_not_go_together_is_refused(arguments: list[str], word: str) -> None:
    done = run_cli("play", *arguments)
    assert done.code == 2
    assert word in done.stderr


def test_the_command_plays_a_tournament(tmp_path: Path) -> None:
    pytest.importorskip("poke_env", reason="NOTHING PLAYED: pip install 'poke-bc[showdown]'")
    done = run_cli("play", "random", "max-power", "--tournament", "--battles", "2", "--format", "gen1randombattle",
                   "--json", "--save-logs", tmp_path, "--showdown", showdown_or_skip())
    assert done.code == 0, done.stderr
    assert done.json["anchor"] == "heuristics"
    assert {rating["player"] for rating in done.json["ratings"]} == {"random", "max-power", "heuristics"}
    assert [(match["battles"], match["refused"], match["paired"]["pairs"]) for match in done.json["matches"]] == [
        (2, 0, 1)] * 3
    assert [len(saved(tmp_path / str(match) / LOGS)) for match in (1, 2, 3)] == [2, 2, 2]


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_ctrl_c_prints_the_tally_keeps_the_logs_and_ends_the_simulator(tmp_path: Path) -> None:
    import signal

    package, node = showdown_or_skip(), shutil.which("node")
    wrapper = tmp_path / "bin" / "node"  # notes its process id
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\nexec "{node}" "$@"\n')
    wrapper.chmod(0o755)
    logs = tmp_path / "logs"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "play", "max-power", "--battles", "100000", "--format", "gen1randombattle",
         "--json", "--save-logs", str(logs), "--showdown", str(package)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**environment(), "PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"})
    try:
        deadline = time.monotonic() + 100
        while not any(path.stat().st_size for path in logs.glob("*")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    told = json.loads(out)
    assert told["interrupted"]
    assert err.decode() == f"interrupted after {told['battles']:,} battles\n"
    assert len(saved(logs / LOGS)) == told["battles"] > 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
