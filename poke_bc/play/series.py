"""A series of battles between two contestants: setups from a seed, saved logs, and the score."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from poke_bc.contract.actions import GIMMICKS
from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.contract.files import atomic_write
from poke_bc.play.contestant import Contestant
from poke_bc.play.match import SIDE_BY_SIDE, Played, Setup, play
from poke_bc.play.ratings import Sprt, paired_interval, wilson
from poke_bc.play.simulator import Simulator
from poke_bc.showdown.record import PLAYERS

DEFAULT_FORMAT = "gen9randombattle"
LOGS = "battles.jsonl.zst"
"""Name of the file of saved logs."""
HOPELESS = 4
"""So many battles broken off before any was played to its end: all will be."""


def setups(one: Contestant, two: Contestant, battles: int, *, format_: str = DEFAULT_FORMAT, seed: int = 0,
           teams: Sequence[str] = (), paired: bool = True) -> Iterator[Setup]:
    """Battles between two contestants, who take turns at being p1.

    Args:
        one, two: the contestants.
        battles: how many; with more, the first ones stay the same.
        format_: id of the format.
        seed: of dice, teams and draws.
        teams: packed teams to draw from; none: the format's random ones.
        paired: play each pair of teams and each dice twice, the second time with exchanged seats.
    """
    for number in range(battles):
        scene = number // 2 if paired else number
        dice = Random(f"{format_} {seed} {scene}")
        simulator, *drawn = [[dice.randrange(1 << 16) for _ in range(4)] for _ in range(3)]
        brought: list[dict[str, Any]] = [{"team": dice.choice(teams)} if teams else {"seed": each} for each in drawn]
        seats = (one, two) if number % 2 == 0 else (two, one)
        yield Setup(f"{format_.split('@@@')[0]}-{seed}-{number}", format_, simulator,
                    dict(zip(PLAYERS, seats, strict=True)), dict(zip(PLAYERS, brought, strict=True)))


@dataclass
class Score:
    """The first contestant's results against the second."""

    one: str
    two: str
    format: str
    seed: int
    paired: bool = True
    """Whether battles 2k and 2k + 1 have the same teams and dice."""
    sprt: Sprt | None = None
    """The test that ends the series once it is decided."""
    wins: int = 0
    losses: int = 0
    ties: int = 0
    broken_off: Counter[str] = field(default_factory=Counter)
    """Reason -> battles that could not be played to their end; they count nowhere else."""
    turns: int = 0
    decisions: int = 0
    """Of both."""
    refused: int = 0
    """Choices of both that the simulator called invalid."""
    unavailable: int = 0
    """Choices of both that something hidden prevented, such as a trap."""
    gimmicks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GIMMICKS[1:], 0))
    """How often the first used each."""
    points: dict[int, float] = field(default_factory=dict)
    """Number of the battle -> 1 for a win, 0.5 for a tie, 0 for a loss."""
    seconds: float = 0.0

    @property
    def battles(self) -> int:
        """Battles that were played to their end."""
        return self.wins + self.losses + self.ties

    @property
    def rate(self) -> float:
        """Share won; a tie counts half."""
        return (self.wins + self.ties / 2) / self.battles if self.battles else 0.0

    def told(self) -> str:
        """The results in words."""
        broken_off = f", {self.broken_off.total():,} broken off" if self.broken_off else ""
        return f"{self.wins:,} won, {self.losses:,} lost, {self.ties:,} tied{broken_off}"

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Points of the pairs both of whose battles were played to their end, in the order of their numbers."""
        firsts = sorted(number for number in self.points if self.paired and number % 2 == 0)
        return [(self.points[first], self.points[first + 1]) for first in firsts if first + 1 in self.points]

    @property
    def units(self) -> list[float]:
        """What is independent of each other: the means of the pairs, or the points of battles that have none."""
        if self.paired:
            return [sum(pair) / 2 for pair in self.pairs]
        return [self.points[number] for number in sorted(self.points)]

    @property
    def decided(self) -> str | None:
        """Which hypothesis of `sprt` is accepted; None: neither."""
        return None if self.sprt is None else self.sprt.decide(self.units)

    def add(self, played: Played, first: str = "") -> None:
        """Count one battle; `first`: who "p1" or "p2" was the first contestant, if not by turns."""
        first = first or PLAYERS[played.number % 2]
        self.decisions += played.decisions.total()
        self.refused += played.refused.total()
        self.unavailable += played.unavailable.total()
        for gimmick, count in played.gimmicks[first].items():
            self.gimmicks[gimmick] += count
        if played.error:
            self.broken_off[played.error] += 1
            return
        self.turns += played.turns
        self.points[played.number] = 0.5 if not played.winner else float(played.winner == first)
        self.wins += played.winner == first
        self.ties += not played.winner
        self.losses += bool(played.winner) and played.winner != first

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        low, high = wilson(self.wins + self.ties / 2, self.battles)
        pairs = self.pairs
        mean, *paired = paired_interval(pairs)
        test = self.sprt
        return {
            "player": self.one, "against": self.two, "format": self.format, "seed": self.seed,
            "battles": self.battles, "wins": self.wins, "losses": self.losses, "ties": self.ties,
            "win_rate": self.rate, "interval": [low, high],
            "paired": {"pairs": len(pairs), "win_rate": mean, "interval": paired} if pairs else None,
            "sprt": None if test is None else {
                "elo0": test.elo0, "elo1": test.elo1, "alpha": test.alpha, "beta": test.beta,
                "llr": test.llr(self.units), "bounds": list(test.bounds), "decided": self.decided},
            "broken_off": dict(self.broken_off),
            "turns_per_battle": self.turns / max(self.battles, 1), "decisions": self.decisions,
            "refused": self.refused, "unavailable": self.unavailable, "gimmicks": self.gimmicks,
            "seconds": self.seconds, "decisions_per_s": self.decisions / self.seconds if self.seconds else 0.0,
        }


class SeriesError(PlayError):
    """A series cannot go on; raised after the logs of finished battles have been saved."""

    def __init__(self, error: PlayError, score: Score) -> None:
        super().__init__(f"{error.what}; {score.told()} before", hint=error.hint,
                         so_far={**score.to_dict(), "interrupted": False})
        self.score = score


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, raised after the simulator has ended and the logs of finished battles have been saved."""

    def __init__(self, score: Score) -> None:
        super().__init__(f"interrupted after {score.battles:,} battles")
        self.score = score


def series(one: Contestant, two: Contestant, battles: int = 100, *, format_: str = DEFAULT_FORMAT, seed: int = 0,
           teams: Path | None = None, paired: bool = True, sprt: Sprt | None = None, save_logs: Path | None = None,
           showdown: str | Path | None = None, side_by_side: int = SIDE_BY_SIDE,
           progress: Callable[[Score], None] = lambda _: None) -> Score:
    """Play battles and count them.

    Args:
        one, two, battles, format_, seed: see `setups`.
        paired: see `setups`; a contestant against itself never is: programs that draw little would play each battle
            twice, and what is learned from the logs would be tested on what it was trained on.
        teams: folder of teams as Showdown exports them; None: the format's random ones.
        sprt: play no more than it takes to decide it, and at most `battles`. Battles are counted (and saved) in the
            order of their numbers then, so that the outcome does not depend on which end first.
        save_logs: folder for the battles as `convert` reads them, in the order of their numbers, in one file.
        showdown: see `find_showdown`.
        side_by_side: how many battles at once; changes no battle.
        progress: called after each battle.

    Raises UsageError if Node, the package, the format or a team is not right, SeriesError if the simulator fails,
    Interrupted on Ctrl-C once a battle has been counted. The logs of battles that had ended are kept.
    """
    paired = paired and one.name != two.name
    score = Score(one.name, two.name, format_, seed, paired=paired, sprt=sprt)
    stopped: KeyboardInterrupt | PlayError | None = None
    with Simulator(showdown) as simulator, saved_logs(save_logs) as write:
        packed = read_teams(simulator, format_, teams) if teams is not None else ()
        begun = time.monotonic()
        planned = setups(one, two, battles, format_=format_, seed=seed, teams=packed, paired=paired)
        ended = play(simulator, planned, side_by_side=side_by_side)
        try:
            for played in ended if sprt is None else in_order(ended):
                score.add(played)
                score.seconds = time.monotonic() - begun
                write(played)
                progress(score)
                if score.decided or (not score.battles and score.broken_off.total() >= HOPELESS):
                    break
        except (KeyboardInterrupt, PlayError) as error:
            if not score.battles:
                raise
            stopped = error
    return concluded(score, stopped,
                     "--format is the id of a singles format; one without random teams needs --teams DIR")


def concluded(score: Score, stopped: KeyboardInterrupt | PlayError | None, hint: str) -> Score:
    """The tally of a series that has ended, or what its caller is to be told instead.

    Args:
        score: of the battles that were played.
        stopped: what ended it early: Ctrl-C or a PlayError.
        hint: where not one battle was played.

    Raises SeriesError, Interrupted, and UsageError where not one battle was played.
    """
    if isinstance(stopped, PlayError):
        raise SeriesError(stopped, score)
    if stopped is not None:
        raise Interrupted(score)
    if not score.battles:
        reason, _ = score.broken_off.most_common(1)[0]
        raise UsageError(f"{score.format}: no battle could be played ({reason})", hint=hint)
    return score


def in_order(ended: Iterable[Played]) -> Iterator[Played]:
    """Battles in the order of their numbers, each as soon as all before it have ended."""
    early: dict[int, Played] = {}
    following = 0
    for played in ended:
        early[played.number] = played
        while following in early:
            yield early.pop(following)
            following += 1


def read_teams(simulator: Simulator, format_: str, folder: Path) -> list[str]:
    """All teams of the text files in a folder, packed. Raises UsageError for one that the format forbids."""
    found = []
    for path, text in team_texts(folder):
        for team in simulator.read_teams(format_, text):
            if team["problems"]:
                raise UsageError(f"{path}: not a team for {format_}: {'; '.join(team['problems'][:3])}",
                                 hint="correct the team, or leave it out")
            found.append(str(team["packed"]))
    return found


def team_texts(folder: Path) -> list[tuple[Path, str]]:
    """The text files of teams in a folder. Raises UsageError if there are none."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            found.append((path, path.read_text("utf-8")))
        except UnicodeDecodeError:
            raise UsageError(f"{path}: not a text", hint="a team as Showdown's teambuilder exports it") from None
    if not found:
        raise UsageError(f"{folder}: no teams", hint="text files of teams as Showdown's teambuilder exports them")
    return found


@contextlib.contextmanager
def saved_logs(folder: Path | None) -> Iterator[Callable[[Played], None]]:
    """Writes the records of battles in the order of their numbers; those that are missing at the end are left out."""
    if folder is None:
        yield lambda _: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    codec = pa.Codec("zstd")
    early: dict[int, Mapping[str, Any]] = {}
    following = 0
    with atomic_write(folder / LOGS) as file:
        def save(record: Mapping[str, Any]) -> None:
            """A frame of its own for each battle: together they are a file like any other."""
            if record:
                text = json.dumps(record, separators=(",", ":")).encode() + b"\n"
                file.write(codec.compress(text, asbytes=True))

        def write(played: Played) -> None:
            nonlocal following
            early[played.number] = {} if played.error else played.record
            while following in early:
                save(early.pop(following))
                following += 1

        yield write
        for number in sorted(early):
            save(early[number])
