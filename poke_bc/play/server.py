"""A series of battles on a Showdown server: a contestant is a user of it, and meets poke-env's players, another
contestant or people.

What a contestant sees and answers goes through the same code as in the simulator: the lines and requests that the
server sends its user. Only the dice and teams are the server's, so that no seed brings a battle back.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.dex import to_id
from poke_bc.play.batches import Batches
from poke_bc.play.connection import Connection
from poke_bc.play.contestant import Contestant
from poke_bc.play.match import Played
from poke_bc.play.opponents import HUMAN, Bot, Opponent, Other, Person
from poke_bc.play.room import Room, follow
from poke_bc.play.series import DEFAULT_FORMAT, HOPELESS, Score, concluded, saved_logs, team_texts
from poke_bc.play.session import INSTALL, SERVER, Account

SIDE_BY_SIDE = 8
"""Battles at once; servers do not let a user play many more."""
WAIT_S = 120.0
"""Longest silence of a bot."""
PATIENCE_S = 1800.0
"""Longest silence of a person, and wait for one."""
_HEADINGS = re.compile(r"^===.*===[ \t]*$", re.MULTILINE)


def play_on_server(
    one: Contestant, against: Contestant | str, battles: int = 100, *, server: str = SERVER,
    account: Account | None = None, format_: str = DEFAULT_FORMAT, teams: Path | None = None,
    save_logs: Path | None = None, side_by_side: int = SIDE_BY_SIDE, wait_s: float | None = None, accept: str = "",
    seed: int = 0, progress: Callable[[Score], None] = lambda _: None, tell: Callable[[str], None] = lambda _: None,
) -> Score:
    """Play battles on a server and count them.

    Args:
        one: who plays as a user of the server.
        against: another contestant, a key of BOTS of opponents.py, or HUMAN: whoever challenges the user.
        battles: how many.
        server: its address, such as SERVER.
        account: of the user; None: a new name, without password.
        format_: id of a singles format.
        teams: folder of teams as Showdown exports them; None: the format's random ones.
        save_logs: folder for the battles as `convert` reads them, without any user's name.
        side_by_side: how many battles at once.
        wait_s: longest silence in seconds, after which a battle is broken off; None: WAIT_S, or PATIENCE_S for people.
        accept: the only person whose challenges are accepted; "": everybody's.
        seed: of which teams are drawn.
        progress: called after each battle.
        tell: called with what a person must know to challenge the user.

    Raises UsageError if the server, the account, the format or a team is not right, SeriesError if the connection is
    lost or the opponent does not come, Interrupted on Ctrl-C once a battle has been counted. The logs of battles that
    had ended are kept.
    """
    account = account or _fresh("bc")
    opponent = against if isinstance(against, str) else against.name
    score = Score(one.name, opponent, format_, seed, paired=False)
    packed = [team for _, text in team_texts(teams) for team in _packed(text)] if teams is not None else []
    begun = time.monotonic()
    stopped: KeyboardInterrupt | PlayError | None = None
    with saved_logs(save_logs) as write:
        def count(played: Played, first: str) -> None:
            score.add(played, first)
            score.seconds = time.monotonic() - begun
            write(played)
            progress(score)

        async def run() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # poke-env leaves tasks behind
            async with Connection(server, account) as user:
                if user.formats and to_id(format_) not in user.formats:
                    raise UsageError(f"{server}: has no format {format_}",
                                     hint="--format is the id of a singles format, such as gen9ou")
                wait = wait_s or (PATIENCE_S if against == HUMAN else WAIT_S)
                async with _opponent(against, accept, user, format_, packed, Random(seed), wait) as met:
                    if against == HUMAN:
                        tell(f"challenge {account.name} to {format_} on {server}; waiting up to {wait:g} s")
                    await _series(user, Batches(one), met, battles, score, count, side_by_side)

        try:
            asyncio.run(run())
        except (KeyboardInterrupt, PlayError) as error:
            if isinstance(error, KeyboardInterrupt) and not score.battles:
                raise
            stopped = error
    return concluded(score, stopped, "--format is the id of a singles format; is the opponent still there?")


def _fresh(name: str) -> Account:
    return Account(f"pokebc {name} {secrets.token_hex(3)}")


def _opponent(against: Contestant | str, accept: str, *given: Any) -> Opponent:
    if against == HUMAN:
        return Person(*given, accept=to_id(accept))
    if isinstance(against, str):
        return Bot(*given, kind=against, account=_fresh("b"))
    return Other(*given, contestant=against, account=_fresh("o"))


async def _series(user: Connection, one: Batches, opponent: Opponent, battles: int, score: Score,
                  count: Callable[[Played, str], None], side_by_side: int) -> None:
    """Begin battles one after the other, and play those that have begun side by side."""
    token = secrets.token_hex(4)
    playing: set[asyncio.Task[tuple[Played, str]]] = set()
    meeting: asyncio.Task[str] | None = None
    begun = 0
    try:
        while begun < battles or playing:
            if meeting is None and begun < battles and len(playing) < side_by_side:
                meeting = asyncio.create_task(opponent.meet())
            await asyncio.wait([*playing, *filter(None, [meeting]), *opponent.gone],
                               return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in playing if task.done()]:
                playing.remove(task)
                count(*task.result())
            if not score.battles and score.broken_off.total() >= HOPELESS:
                break
            if any(task.done() for task in opponent.gone):
                raise PlayError(opponent.told_gone, hint="is the server still running?")
            if meeting is not None and meeting.done():
                room = meeting.result()
                id_ = f"{opponent.format}-{token}-{begun}"
                playing.add(asyncio.create_task(_play(user, one, opponent, room, begun, id_)))
                begun, meeting = begun + 1, None
    except PlayError:
        if playing:  # they end by themselves: the connection is lost, or the limit of silence comes
            for ended in asyncio.as_completed(playing):
                count(*await ended)
        raise
    finally:
        for left in (*playing, *filter(None, [meeting])):
            left.cancel()
    user.check()


async def _play(user: Connection, one: Batches, opponent: Opponent, room: str, number: int,
                id_: str) -> tuple[Played, str]:
    """One battle -> how it went, and which player was the user."""
    battle = Room(user.account.id, one, number, id_, opponent.format)
    both = asyncio.gather(follow(user, room, battle, opponent.wait_s), opponent.follow(room, number, id_))
    awaited: list[asyncio.Future[Any]] = [both, *opponent.gone]
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    if not both.done():
        both.cancel()
        return battle.finish(opponent.told_gone), battle.player or "p1"
    mine, other = both.result()
    if other is not None:
        for counted, more in ((mine.decisions, other.decisions), (mine.refused, other.refused),
                              (mine.unavailable, other.unavailable)):
            counted.update(more)
        foe = "p2" if battle.player == "p1" else "p1"
        mine.gimmicks[foe] = other.gimmicks[foe]
        if mine.record.get("spectator") == other.record.get("spectator"):
            mine.record[foe] = other.record[foe]
    return mine, battle.player or "p1"


def _packed(text: str) -> list[str]:
    """Teams as Showdown exports them -> packed, as a server takes them."""
    try:
        from poke_env.teambuilder import Teambuilder
    except ImportError:
        raise UsageError("--teams on a server are read by poke-env, which is not installed", hint=INSTALL) from None
    blocks = [block for block in _HEADINGS.split(text) if block.strip()]
    return [Teambuilder.join_team(Teambuilder.parse_showdown_team(block.strip())) for block in blocks]
