"""The command that lets policies play: play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poke_bc.cli.errors import end_interrupted
from poke_bc.cli.output import Json, Quiet, print_json, progress_bar, seconds
from poke_bc.contract.errors import UsageError

if TYPE_CHECKING:
    from poke_bc.play.contestant import Contestant
    from poke_bc.play.ratings import Sprt

BOTS = ("random", "max-power", "heuristics")


def play(
    runs: Annotated[list[str], typer.Argument(
        help="Folder of a run, a checkpoint or a policy; or random, max-power, heuristics. Several for a tournament.")],
    against: Annotated[str | None, typer.Option(
        metavar="OPPONENT",
        help="random, max-power, heuristics (needs the extra showdown), or another run.  [default: random]")] = None,
    format_: Annotated[str, typer.Option("--format", help="Id of a singles format.")] = "gen9randombattle",
    battles: Annotated[int, typer.Option(min=1, help="Number of battles.")] = 100,
    sprt: Annotated[tuple[float, float] | None, typer.Option(
        metavar="ELO0 ELO1",
        help="Stop as soon as a sequential test tells a strength of ELO1 above the opponent from one of ELO0.")] = None,
    tournament: Annotated[bool, typer.Option(
        "--tournament", help="All play all, with heuristics among them; strengths in Elo above heuristics.")] = False,
    teams: Annotated[Path | None, typer.Option(
        help="Folder of teams as Showdown exports them, for formats without random teams.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the most likely action, instead of drawing.")] = False,
    temperature: Annotated[float, typer.Option(help="Below 1 sharpens what is drawn from, above 1 flattens it.")] = 1.0,
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step-00000500.")] = "best",
    save_logs: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Save the battles there, as poke-bc convert reads them.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of dice, random teams and draws.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    showdown: Annotated[Path | None, typer.Option(
        help="Folder of the npm package pokemon-showdown.  [default: $SHOWDOWN, or ./node_modules]")] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="Battles played at once; changes no battle.")] = 32,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Play battles in Showdown's simulator, and count who wins. Needs Node.js; docs/play.md says how to install it."""
    from poke_bc.play.series import Interrupted, Score, series

    def contestant(name: str) -> Contestant:
        return _contestant(name, greedy=greedy, temperature=temperature, checkpoint=checkpoint, device=device)

    test = _sprt(sprt)
    if tournament:
        from poke_bc.cli.tournament import play_tournament

        if against is not None or test is not None:
            raise UsageError("--tournament does not go with --against or --sprt", hint="name all players as arguments")
        return play_tournament(runs, contestant, battles, as_json=as_json, quiet=quiet, format_=format_, seed=seed,
                               teams=teams, save_logs=save_logs, showdown=showdown, side_by_side=side_by_side)
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} players", hint="--tournament lets all play all; --against names one opponent")
    one, two = contestant(runs[0]), contestant(against or "random")
    interrupted = False
    with progress_bar("decisions", quiet=quiet) as bar:
        def progress(score: Score) -> None:
            bar(f"{score.wins} won, {score.losses} lost, {score.ties} tied", score.battles, battles, score.decisions)

        try:
            score = series(one, two, battles, format_=format_, seed=seed, teams=teams, sprt=test, save_logs=save_logs,
                           showdown=showdown, side_by_side=side_by_side, progress=progress)
        except Interrupted as stopped:
            score, interrupted = stopped.score, True
    result = {**score.to_dict(), "interrupted": interrupted}
    print_json(result) if as_json else print("\n".join(_told(result, save_logs)))
    if interrupted:
        end_interrupted(f"interrupted after {score.battles:,} battles")


def _sprt(given: tuple[float, float] | None) -> Sprt | None:
    if given is None:
        return None
    from poke_bc.play.ratings import Sprt

    try:
        return Sprt(*given)
    except ValueError as error:
        raise UsageError(f"--sprt {given[0]:g} {given[1]:g}: {error}", hint="such as --sprt 0 50") from None


def _contestant(name: str, *, greedy: bool, temperature: float, checkpoint: str, device: str) -> Contestant:
    from poke_bc.play.contestant import MaxPower, Random

    if name == "heuristics":
        from poke_bc.play.heuristics import Heuristics

        return Heuristics()
    if name in BOTS:
        return Random() if name == "random" else MaxPower()
    from poke_bc.play.player import Player

    return Player.load(name, checkpoint=checkpoint, device=device, greedy=greedy, temperature=temperature)


def _told(result: dict[str, Any], save_logs: Path | None) -> list[str]:
    low, high = result["interval"]
    answers = result["decisions"] + result["refused"] + result["unavailable"]
    lines = [
        f"{result['player']} against {result['against']}, {result['format']}: {result['wins']:,} won, "
        f"{result['losses']:,} lost, {result['ties']:,} tied",
        f"{result['win_rate']:.1%} won, a tie counting half (95% interval {low:.1%} to {high:.1%})",
        *_told_pairs(result["paired"]), *_told_test(result["sprt"], result["battles"]),
        f"{result['battles']:,} battles, {result['turns_per_battle']:.1f} turns each; both players made "
        f"{result['decisions']:,} decisions in {seconds(result['seconds'])} ({result['decisions_per_s']:,.0f}/s)",
        f"{result['refused']:,} of {answers:,} choices refused; "
        f"{result['unavailable']:,} prevented by what no player could know",
    ]
    if used := {name: count for name, count in result["gimmicks"].items() if count}:
        lines.append("used: " + ", ".join(f"{name} {count:,} times" for name, count in used.items()))
    lines += [f"{count:,} broken off: {reason}" for reason, count in result["broken_off"].items()]
    if save_logs is not None:
        lines.append(f"next: poke-bc convert {save_logs} -o raw.jsonl.zst")
    return lines


def _told_pairs(paired: dict[str, Any] | None) -> list[str]:
    if paired is None:
        return []
    low, high = paired["interval"]
    return [f"{paired['win_rate']:.1%} over {paired['pairs']:,} pairs of battles with the same teams and dice "
            f"(95% interval {low:.1%} to {high:.1%})"]


def _told_test(test: dict[str, Any] | None, battles: int) -> list[str]:
    if test is None:
        return []
    weak, strong = f"{test['elo0']:+g} Elo", f"{test['elo1']:+g} Elo"
    ratio = f"log-likelihood ratio {test['llr']:.2f}, bounds {test['bounds'][0]:.2f} and {test['bounds'][1]:.2f}"
    if test["decided"] is None:
        return [f"not decided between {weak} and {strong} after {battles:,} battles ({ratio}): more --battles"]
    accepted, other = (strong, weak) if test["decided"] == "elo1" else (weak, strong)
    return [f"decided for {accepted} and against {other} after {battles:,} battles ({ratio})"]
