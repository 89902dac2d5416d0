"""A tournament: everybody plays everybody, and their strengths in Elo follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import UsageError
from poke_bc.play.contestant import Contestant
from poke_bc.play.ratings import Rating, bradley_terry
from poke_bc.play.series import Interrupted, Score, SeriesError, series


@dataclass
class Tournament:
    """Players, the one whose strength is 0, and what has been played so far.

    Raises UsageError if two players have one name, or there are fewer than two.
    """

    players: Sequence[Contestant]
    anchor: str
    """Name of one of the players."""
    scores: list[Score] = field(default_factory=list)
    """Of each match."""

    def __post_init__(self) -> None:
        names = [player.name for player in self.players]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"{double} is named twice", hint="name each player of a tournament once")
        if len(names) < 2:
            raise UsageError("a tournament needs at least two players", hint="name more runs, or random or max-power")

    def play(self, battles: int, *, seed: int = 0, save_logs: Path | None = None,
             progress: Callable[[int, int, Score], None] = lambda *_: None, **options: Any) -> None:
        """Play all matches, the anchor's first, so that those of a tournament that was interrupted can be rated.

        Args:
            battles: of each match; an odd one at the end does not count for the strengths.
            seed: of the first match; each following one adds 1, so that no two have the same teams and dice.
            save_logs: folder for the battles; each match has a folder of its own there: 1, 2, ...
            progress: called after each battle with the number of the match from 1, the number of matches, the score.
            options: as `series` takes them.

        Raises what `series` raises; `scores` holds what was played until then.
        """
        if battles < 2:
            raise UsageError(f"--battles {battles}: a tournament compares pairs of battles", hint="--battles 2 or more")
        matches = [*combinations(sorted(self.players, key=lambda player: player.name != self.anchor), 2)]
        for number, (one, two) in enumerate(matches, 1):
            def told(score: Score, number: int = number) -> None:
                progress(number, len(matches), score)

            try:
                self.scores.append(series(
                    one, two, battles, seed=seed + number - 1, progress=told,
                    save_logs=save_logs / str(number) if save_logs is not None else None, **options))
            except (Interrupted, SeriesError) as stopped:
                self.scores.append(stopped.score)
                raise

    def ratings(self) -> dict[str, Rating]:
        """Strengths of those who have finished pairs of battles, from the strongest down; {} if nothing leads to the
        anchor. Intervals are bootstraps over pairs."""
        units = {(score.one, score.two): score.units for score in self.scores if score.units}
        try:
            return bradley_terry(units, self.anchor)
        except ValueError:
            return {}

    def shares(self) -> dict[str, dict[str, float]]:
        """Player -> opponent -> share of points, of those who have met."""
        found: dict[str, dict[str, float]] = {player.name: {} for player in self.players}
        for score in self.scores:
            found[score.one][score.two], found[score.two][score.one] = score.rate, 1 - score.rate
        return found

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "anchor": self.anchor,
            "ratings": [{"player": name, "elo": rating.elo, "interval": [rating.low, rating.high]}
                        for name, rating in self.ratings().items()],
            "scores": self.shares(),
            "matches": [score.to_dict() for score in self.scores],
        }
