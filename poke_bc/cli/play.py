"""The command that lets policies play: play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poke_bc.cli.output import Json, Quiet, print_json, progress_bar, seconds

if TYPE_CHECKING:
    from poke_bc.play.contestant import Contestant

BOTS = ("random", "max-power", "heuristics")


def play(
    run: Annotated[str, typer.Argument(
        help="Folder of a run, a checkpoint or a policy; or random, max-power, heuristics.")],
    against: Annotated[str, typer.Option(
        metavar="OPPONENT", help="random, max-power, heuristics (needs the extra showdown), or another run.",
    )] = "random",
    format_: Annotated[str, typer.Option("--format", help="Id of a singles format.")] = "gen9randombattle",
    battles: Annotated[int, typer.Option(min=1, help="Number of battles.")] = 100,
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
    from poke_bc.play.series import Score, series

    def contestant(name: str) -> Contestant:
        return _contestant(name, greedy=greedy, temperature=temperature, checkpoint=checkpoint, device=device)

    one, two = contestant(run), contestant(against)
    with progress_bar("decisions", quiet=quiet) as bar:
        def progress(score: Score) -> None:
            bar(f"{score.wins} won, {score.losses} lost, {score.ties} tied", score.battles, battles, score.decisions)

        result = series(one, two, battles, format_=format_, seed=seed, teams=teams, save_logs=save_logs,
                        showdown=showdown, side_by_side=side_by_side, progress=progress).to_dict()
    print_json(result) if as_json else print("\n".join(_told(result, save_logs)))


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
