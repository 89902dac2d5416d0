"""play --tournament: who takes part, and the tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from poke_bc.cli.errors import end_interrupted
from poke_bc.cli.output import print_json, progress_bar, show_table
from poke_bc.contract.errors import PlayError, UsageError

if TYPE_CHECKING:
    from poke_bc.play.contestant import Contestant
    from poke_bc.play.series import Score
    from poke_bc.play.tournament import Tournament

ANCHOR, SPARE = "heuristics", "max-power"


def play_tournament(names: Sequence[str], contestant: Callable[[str], Contestant], battles: int, *, as_json: bool,
                    quiet: bool, **options: Any) -> None:
    """Let all named players and the anchor play each other, and print strengths and scores."""
    from poke_bc.play.series import Interrupted
    from poke_bc.play.tournament import Tournament

    players = [contestant(name) for name in names]
    anchor, added = _anchor(names, contestant)
    tournament = Tournament([*players, *added], anchor)
    interrupted = False
    with progress_bar("decisions", quiet=quiet) as bar:
        def progress(number: int, matches: int, score: Score) -> None:
            bar(f"match {number} of {matches}: {score.one} {score.told()}", score.battles, battles, score.decisions)

        try:
            tournament.play(battles, progress=progress, **options)
        except Interrupted:
            interrupted = True
        except KeyboardInterrupt:  # no battle of this match has ended
            if not tournament.scores:
                raise
            interrupted = True
        except PlayError as error:
            error.so_far = {**tournament.to_dict(), "interrupted": False}
            raise
    if as_json:
        print_json({**tournament.to_dict(), "interrupted": interrupted})
    else:
        _show(tournament)
    if interrupted:
        end_interrupted(f"interrupted after {sum(score.battles for score in tournament.scores):,} battles")


def _anchor(names: Sequence[str], contestant: Callable[[str], Contestant]) -> tuple[str, list[Contestant]]:
    """The player whose strength is 0, and whoever has to be added for that."""
    if ANCHOR in names:
        return ANCHOR, []
    try:
        return ANCHOR, [contestant(ANCHOR)]
    except UsageError as error:
        print(f"{error.what}: strengths are over {SPARE} instead ({error.hint})", file=sys.stderr)
        return SPARE, [] if SPARE in names else [contestant(SPARE)]


def _show(tournament: Tournament) -> None:
    ratings, shares = tournament.ratings(), tournament.shares()
    order = [*ratings, *(name for name in shares if name not in ratings)]
    numbers = {name: str(number) for number, name in enumerate(order, 1)}
    show_table(["", "player", f"Elo over {tournament.anchor}", "95% interval"], [
        [numbers[name], name, *((f"{ratings[name].elo:+.0f}", f"{ratings[name].low:+.0f} to {ratings[name].high:+.0f}")
                                if name in ratings else ("", ""))] for name in order])
    show_table(["", "share of points against", *numbers.values()], [
        [numbers[name], name, *(f"{shares[name][other]:.1%}" if other in shares[name] else "" for other in order)]
        for name in order])
    battles = sum(score.battles for score in tournament.scores)
    answers = sum(score.decisions + score.refused + score.unavailable for score in tournament.scores)
    print(f"{battles:,} battles in {len(tournament.scores)} matches; "
          f"{sum(score.refused for score in tournament.scores):,} of {answers:,} choices refused")
    for score in tournament.scores:
        for reason, count in score.broken_off.items():
            print(f"{count:,} of {score.one} against {score.two} broken off: {reason}")
