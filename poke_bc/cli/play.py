"""The command that lets policies play: play."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poke_bc.cli.errors import end_interrupted
from poke_bc.cli.output import Json, Quiet, print_json, progress_bar, seconds
from poke_bc.contract.errors import UsageError

if TYPE_CHECKING:
    from poke_bc.play.contestant import Contestant
    from poke_bc.play.ratings import Sprt
    from poke_bc.play.series import Score
    from poke_bc.play.session import Account


class Via(StrEnum):
    """Where battles are played."""

    sim = "sim"
    server = "server"


def play(
    runs: Annotated[list[str], typer.Argument(
        help="Folder of a run, a checkpoint or a policy; or random, max-power, heuristics. Several for a tournament.")],
    against: Annotated[str | None, typer.Option(
        metavar="OPPONENT",
        help="random, max-power, heuristics (needs the extra showdown), another run, or with --via server human: "
             "people who challenge it.  [default: random]")] = None,
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
    side_by_side: Annotated[int | None, typer.Option(
        min=1, help="Battles played at once; changes no battle.  [default: 32, on a server 8]")] = None,
    via: Annotated[Via, typer.Option(help="In the simulator, or on a server (needs the extra showdown).")] = Via.sim,
    server: Annotated[str | None, typer.Option(
        metavar="URL", help="Address of the server.  [default: ws://localhost:8000/showdown/websocket]")] = None,
    name: Annotated[str | None, typer.Option(help="User name on the server.  [default: a new one]")] = None,
    password: Annotated[str | None, typer.Option(
        envvar="SHOWDOWN_PASSWORD", help="Of a registered name; servers with --no-security ask for none.")] = None,
    accept: Annotated[str | None, typer.Option(
        metavar="NAME", help="The only person whose challenges are accepted; others are turned away.")] = None,
    wait: Annotated[float | None, typer.Option(
        min=1, metavar="SECONDS", help="Longest silence on a server.  [default: 120, of people 1800]")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Play battles in Showdown's simulator or on a server, and count who wins. docs/play.md says what to install."""
    from poke_bc.play.match import SIDE_BY_SIDE
    from poke_bc.play.opponents import BOTS, HUMAN
    from poke_bc.play.series import Interrupted, series
    from poke_bc.play.server import play_on_server
    from poke_bc.play.session import SERVER

    _check_place(via, against, {"--server": server, "--name": name, "--accept": accept, "--wait": wait},
                 {"--tournament": tournament, "--sprt": sprt is not None})

    def contestant(name: str) -> Contestant:
        return _contestant(name, greedy=greedy, temperature=temperature, checkpoint=checkpoint, device=device)

    test = _sprt(sprt)
    if tournament:
        from poke_bc.cli.tournament import play_tournament

        if against is not None or test is not None:
            raise UsageError("--tournament does not go with --against or --sprt", hint="name all players as arguments")
        return play_tournament(runs, contestant, battles, as_json=as_json, quiet=quiet, format_=format_, seed=seed,
                               teams=teams, save_logs=save_logs, showdown=showdown,
                               side_by_side=side_by_side or SIDE_BY_SIDE)
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} players", hint="--tournament lets all play all; --against names one opponent")
    one, against = contestant(runs[0]), against or "random"
    interrupted = False
    with progress_bar("decisions", quiet=quiet) as bar:
        def progress(score: Score) -> None:
            bar(score.told(), score.battles, battles, score.decisions)

        shared: dict[str, Any] = {"format_": format_, "seed": seed, "teams": teams, "save_logs": save_logs,
                                  "progress": progress} | ({"side_by_side": side_by_side} if side_by_side else {})
        try:
            if via == Via.sim:
                score = series(one, contestant(against), battles, sprt=test, showdown=showdown, **shared)
            else:
                score = play_on_server(
                    one, against if against in (*BOTS, HUMAN) else contestant(against), battles,
                    server=server or SERVER, account=_account(name, password), accept=accept or "", wait_s=wait,
                    tell=lambda text: None if quiet else print(text, file=sys.stderr), **shared)
        except Interrupted as stopped:
            score, interrupted = stopped.score, True
    if as_json:
        print_json({**score.to_dict(), "interrupted": interrupted})
    else:
        print("\n".join(_told(score, save_logs)))
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


def _check_place(via: Via, against: str | None, of_servers: dict[str, Any], of_simulator: dict[str, bool]) -> None:
    from poke_bc.play.opponents import HUMAN

    given = [option for option, value in of_servers.items() if value is not None]
    if via == Via.sim and (given or against == HUMAN):
        raise UsageError(f"{given[0] if given else '--against human'}: the simulator has no users",
                         hint="--via server plays on a server")
    if via == Via.server and any(of_simulator.values()):
        option = next(option for option, is_given in of_simulator.items() if is_given)
        raise UsageError(f"{option}: only in the simulator", hint="leave out --via server")
    if "--accept" in given and against != HUMAN:
        raise UsageError("--accept: only people challenge", hint="--against human")


def _account(name: str | None, password: str | None) -> Account | None:
    from poke_bc.play.session import Account

    return Account(name, password or "") if name is not None else None


def _contestant(name: str, *, greedy: bool, temperature: float, checkpoint: str, device: str) -> Contestant:
    from poke_bc.play.contestant import MaxPower, Random

    if name == "heuristics":
        from poke_bc.play.heuristics import Heuristics

        return Heuristics()
    if name in (Random.name, MaxPower.name):
        return Random() if name == Random.name else MaxPower()
    from poke_bc.play.player import Player

    return Player.load(name, checkpoint=checkpoint, device=device, greedy=greedy, temperature=temperature)


def _told(score: Score, save_logs: Path | None) -> list[str]:
    result = score.to_dict()
    low, high = result["interval"]
    answers = result["decisions"] + result["refused"] + result["unavailable"]
    lines = [
        f"{score.one} against {score.two}, {score.format}: {score.told()}",
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
