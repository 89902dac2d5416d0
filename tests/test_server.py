"""Playing on a real server: parity with convert, people, names, and what happens when somebody or something is gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_told_in_two_lines, environment, run_cli
from cut_connections import Proxy
from random_players import random_battles
from simulating import Eager, Watched, compare_with_converted, showdown_or_skip
from test_play import TEAM, Stubborn, lines_of, small_player

from pipelines.convert import convert_battles
from poke_bc.cli.play import Via, play
from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.dex import to_id
from poke_bc.play import session
from poke_bc.play.batches import Batches
from poke_bc.play.connection import Connection
from poke_bc.play.contestant import MaxPower, Random
from poke_bc.play.heuristics import Heuristics
from poke_bc.play.local_server import CONFIG, LocalServer, configure
from poke_bc.play.room import Room
from poke_bc.play.series import LOGS, Score, SeriesError
from poke_bc.play.server import play_on_server
from poke_bc.play.session import Account
from poke_bc.showdown.record import SkippedBattle

pytest.importorskip("poke_env", reason="NOTHING PLAYED ON A SERVER: pip install 'poke-bc[showdown]'")

FORMATS = ("gen1randombattle", "gen7randombattle", "gen9randombattle")
ME, FRIEND = "Qwertz Uiop", "Yxcv Bnm"
"""Names that are nowhere else in a battle."""
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(showdown=showdown_or_skip()) as running:
        yield running


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teams")
    (folder / "teams.txt").write_text(TEAM)
    return folder


@pytest.fixture(scope="module")
def played(server: LocalServer, teams: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Battles against poke-env's random player and against another contestant: logs, what was known live, scores."""
    folder = tmp_path_factory.mktemp("played")
    one, two, strong = Watched(small_player()), Watched(small_player("history", gimmick_head=False)), Watched(Eager())
    scores = [play_on_server(first, "random", 1, server=server.address, account=Account(ME), format_=format_,
                             save_logs=folder / format_)
              for first, format_ in zip((one, strong, two), FORMATS, strict=True)]
    scores += [play_on_server(strong, two, 1, server=server.address, account=Account(ME), format_="gen9ou",
                              teams=teams, save_logs=folder / "ou")]
    return folder, one.seen | two.seen | strong.seen, scores


def test_every_battle_is_played_and_no_choice_refused(played: Any) -> None:
    for score, format_ in zip(played[2], (*FORMATS, "gen9ou"), strict=True):
        assert (score.format, score.battles, score.refused, score.broken_off) == (format_, 1, 0, {}), score
        assert score.decisions > 5
        assert score.turns > 1


def test_live_observations_masks_and_actions_are_those_of_convert(played: Any, tmp_path: Path) -> None:
    folder, seen, _ = played
    convert_battles([str(folder)], tmp_path / "raw.jsonl", workers=1, salt="s")
    trajectories = [json.loads(line) for line in (tmp_path / "raw.jsonl").read_text("utf-8").splitlines()]
    ours = [each for each in trajectories if f"{each['replay_id']} {each['player']}" in seen]
    assert len(trajectories) == 2 * len(ours) - 2, "the others are poke-env's, of whom only the log tells"
    rows, used = compare_with_converted(seen, ours)
    assert set(rows) == {*FORMATS, "gen9ou"}
    assert min(rows.values()) > 5
    assert "tera" in used


def test_saved_logs_hold_both_players_that_were_played_from_here_and_no_user_name(played: Any) -> None:
    for path in played[0].rglob(LOGS):
        for record in lines_of(path):
            text = json.dumps(record).lower()
            assert "|player|p1|alpha||" in text
            for name in (ME, "pokebc"):
                assert name.lower() not in text
            assert bool(record["p1"]) + bool(record["p2"]) == (2 if path.parent.name == "ou" else 1)


def recorded(class_: type[Any], heard: dict[str, list[tuple[str, Any]]]) -> type[Any]:
    """A player of poke-env of which is kept what its battles' rooms tell it, and what it answers."""
    class Recorded(class_):  # type: ignore[misc]
        async def _handle_battle_message(self, split_messages: list[list[str]]) -> None:
            room = heard.setdefault(split_messages[0][0][1:], [("user", self.ps_client.username)])
            room.append(("lines", ["|".join(words) for words in split_messages[1:]]))
            await super()._handle_battle_message(split_messages)

        def choose_move(self, battle: Any) -> Any:
            order = super().choose_move(battle)
            heard[battle.battle_tag].append(("choice", order.message))
            return order

    return Recorded


def test_heuristics_answer_in_the_simulator_as_on_the_server_where_seats_alternate(
        server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import poke_env.player

    heard: dict[str, list[tuple[str, Any]]] = {}
    monkeypatch.setattr(poke_env.player, "SimpleHeuristicsPlayer",
                        recorded(poke_env.player.SimpleHeuristicsPlayer, heard))
    play_on_server(MaxPower(), "heuristics", 2, server=server.address, side_by_side=1, save_logs=tmp_path)
    assert [[bool(record[player]) for player in ("p1", "p2")] for record in lines_of(tmp_path / LOGS)] == [
        [True, False], [False, True]], "the records hold our requests"
    monkeypatch.undo()

    async def answers(events: list[tuple[str, Any]]) -> list[str]:
        room = Room(to_id(events[0][1]), Batches(Heuristics()), 0, "x", "gen9randombattle")
        found = []
        for kind, lines in events:
            for line in lines if kind == "lines" else ():
                room.take(line)
            if kind == "lines" and (answer := await room.answer()):
                found.append(answer.split("|")[0])
        return found

    for events in heard.values():
        theirs = [choice for kind, choice in events if kind == "choice"]
        assert len(theirs) > 5
        assert asyncio.run(answers(events)) == theirs


def test_requests_that_wait_are_answered_in_one_batch() -> None:
    class Counting(Random):
        def answer(self, chairs: Any) -> list[str]:
            return [f"{chair} of {len(chairs)}" for chair in chairs]

    async def choices() -> list[str]:
        batches = Batches(Counting())
        first = await asyncio.gather(*map(batches.choose, "abc"))
        left = asyncio.create_task(batches.choose("d"))
        await asyncio.sleep(0)
        left.cancel()
        return [*first, await batches.choose("e")]

    assert asyncio.run(choices()) == ["a of 3", "b of 3", "c of 3", "e of 1"]


# --- people -----------------------------------------------------------------------------------------------------------


def beside(server: LocalServer, person: Callable[[], Awaitable[None]], **options: Any) -> Score:
    """A bot that plays one battle with people, and meanwhile a person."""
    ready = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        bot = pool.submit(play_on_server, MaxPower(), "human", 1, server=server.address, account=Account(ME),
                          tell=lambda _: ready.set(), **{"wait_s": 20.0} | options)
        assert ready.wait(LIMIT_S)
        asyncio.run(asyncio.wait_for(person(), LIMIT_S))  # type: ignore[arg-type]
        return bot.result(LIMIT_S)


class Person(Connection):
    """Somebody who notices being turned away."""

    async def is_turned_away(self) -> None:
        self.turned_away = asyncio.Event()
        async with asyncio.timeout(LIMIT_S):
            await self.turned_away.wait()

    async def _hear(self, line: str) -> None:
        await super()._hear(line)
        if "rejected the challenge" in line:
            self.turned_away.set()


async def said(user: Connection, room: str, start: str) -> None:
    """Wait for a line of a battle."""
    while not any(line.startswith(start) for line in await user.next_lines(room, LIMIT_S)):
        pass


def test_a_person_challenges_chats_and_forfeits(server: LocalServer, tmp_path: Path) -> None:
    async def person() -> None:
        async with Person(server.address, Account(FRIEND)) as friend, \
                Person(server.address, Account("Stranger")) as stranger:
            for who, format_ in ((stranger, "gen9randombattle"), (friend, "gen4randombattle")):
                await who.challenge("qwertzuiop", format_)
                await who.is_turned_away()
            await friend.challenge("qwertzuiop", "gen9randombattle")
            room = await friend.next_battle(LIMIT_S)
            await said(friend, room, '|request|{"active"')
            for text in (f"|win|{FRIEND}", "/forfeit is what you should type", f"||{ME} forfeited.", "!version"):
                await friend.say(text if text[0] != "/" else f"/{text}", room)
            await friend.say("/choose default", room)
            lines: list[str] = []
            while not any(line.startswith("|turn|2") for line in lines):
                lines = await friend.next_lines(room, LIMIT_S)
                if any(line.startswith('|request|{"forceSwitch"') for line in lines):  # something fainted
                    await friend.say("/choose default", room)
            await friend.say("/forfeit", room)
            await said(friend, room, "|win|")

    score = beside(server, person, accept=FRIEND, save_logs=tmp_path)
    assert (score.wins, score.losses, score.broken_off, score.two) == (1, 0, {}, "human")
    (record,) = lines_of(tmp_path / LOGS)
    assert record["spectator"][-2:] == ["|-message|Alpha forfeited.", "|win|Beta"]
    text = json.dumps(record).lower()
    assert not [name for name in (ME, FRIEND, "Stranger") if name.lower() in text]


def test_when_a_person_leaves_the_server_counts_down(server: LocalServer) -> None:
    async def person() -> None:
        async with Connection(server.address, Account("Watching")) as watching:
            async with Connection(server.address, Account(FRIEND)) as friend:
                await friend.challenge("qwertzuiop", "gen9randombattle")
                room = await friend.next_battle(LIMIT_S)
                await watching.say(f"/join {room}")
                await watching.next_battle(LIMIT_S)
            await said(watching, room, "|inactive|")
            async with Connection(server.address, Account(FRIEND)) as friend:
                await friend.say(f"/join {room}")
                await friend.next_battle(LIMIT_S)
                await friend.say("/forfeit", room)
                await said(watching, room, "|win|")

    assert beside(server, person).wins == 1


def test_nobody_is_waited_for_forever(server: LocalServer) -> None:
    with pytest.raises(PlayError, match=r"nobody has challenged Qwertz Uiop within 0\.2 s; 0 won"):
        play_on_server(Random(), "human", 1, server=server.address, account=Account(ME), wait_s=0.2)

    async def person() -> None:
        async with Connection(server.address, Account(FRIEND)) as friend:
            await friend.challenge("qwertzuiop", "gen9randombattle")
            await said(friend, await friend.next_battle(LIMIT_S), "|win|")

    with pytest.raises(UsageError, match="nothing has happened for 2 s"):
        beside(server, person, wait_s=2.0)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_connection_that_does_not_come_back_ends_the_series_and_what_was_played_counts(
        server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "RECONNECT_S", 0.5)
    scores = []
    with Proxy(server.port) as proxy:
        def progress(score: Score) -> None:
            scores.append(score)
            proxy.close()

        with pytest.raises(SeriesError, match="connection is lost") as failed:
            play_on_server(MaxPower(), Random(), 50, server=proxy.address, format_="gen1randombattle",
                           save_logs=tmp_path, side_by_side=3, progress=progress)
    score = scores[-1]
    assert failed.value.score is score
    assert 1 <= score.battles <= 3
    assert score.battles + score.broken_off.total() <= 4
    assert f"; {score.told()} before" in failed.value.what
    assert len(lines_of(tmp_path / LOGS)) == score.battles


class Cutting(MaxPower):
    """Loses its connection while it thinks, at some of its answers."""

    def __init__(self, proxy: Proxy, answers: frozenset[int]) -> None:
        self.proxy, self.answers, self.given = proxy, answers, 0

    def answer(self, chairs: Any) -> list[str]:
        for _ in chairs:
            self.given += 1
            if self.given in self.answers:
                self.proxy.cut()
        return super().answer(chairs)


def test_a_cut_connection_is_made_again_and_its_battles_go_on(server: LocalServer, tmp_path: Path) -> None:
    with Proxy(server.port) as proxy:
        one, two = Watched(Cutting(proxy, frozenset({1, 5, 20, 33}))), Watched(Random())
        score = play_on_server(one, two, 3, server=proxy.address, side_by_side=2, save_logs=tmp_path, wait_s=30.0)
    assert (score.battles, score.refused, score.broken_off) == (3, 0, {})
    assert [place[-4:] for place in sorted(one.seen)] == ["0 p1", "1 p2", "2 p1"]
    assert proxy.connections == 2 * 5
    convert_battles([str(tmp_path)], tmp_path / "raw.jsonl", workers=1, salt="s")
    trajectories = [json.loads(line) for line in (tmp_path / "raw.jsonl").read_text("utf-8").splitlines()]
    assert len(trajectories) == 6
    compare_with_converted(one.seen, [each for each in trajectories
                                      if f"{each['replay_id']} {each['player']}" in one.seen])
    assert sum(map(len, (one.seen | two.seen).values())) == score.decisions


def test_a_bot_of_poke_env_that_is_cut_off_ends_the_series_and_wins_are_not_counted(server: LocalServer) -> None:
    with Proxy(server.port) as proxy, pytest.raises(SeriesError, match="random has lost its connection") as failed:
        play_on_server(Cutting(proxy, frozenset({9})), "random", 2, server=proxy.address)
    assert failed.value.score.battles == 0
    assert failed.value.score.broken_off == {"random has lost its connection": 2}


def test_refused_choices_are_counted_and_left_to_the_server(server: LocalServer) -> None:
    score = play_on_server(Stubborn(), "random", 1, server=server.address)
    assert (score.battles, score.refused) == (1, score.decisions)
    assert score.refused > 5


def beginning() -> tuple[Room, list[str], str]:
    """A room, the lines of a battle to its first request, and that, which the room has taken in."""
    played = next(battle for battle in map(json.loads, random_battles()) if "gen9" in battle["format"])
    request = json.dumps(played["p1"][0]["request"] | {"rqid": 7})
    lines = ["|init|battle", *(line.replace("Alpha 40", ME).replace("Beta 40", FRIEND)
                               for line in played["spectator"][:played["p1"][0]["after_line"]])]
    room = Room("qwertzuiop", Batches(Random()), 0, "x", "gen9randombattle")
    for line in (*lines, "|request|", f"|request|{request}"):
        room.take(line)
    return room, lines, request


def test_what_a_new_connection_repeats_is_known_and_what_it_lost_is_said_again() -> None:
    room, lines, request = beginning()
    said = asyncio.run(room.answer())
    for heard, expected in (("|", said), ("|sentchoice|move 1", "")):
        for line in (*lines, f"|player|p2|{FRIEND}|1|", f"|request|{request}", heard):
            room.take(line)
        assert asyncio.run(room.answer()) == expected
    for line in lines[:-1]:
        room.take(line)
    with pytest.raises(SkippedBattle, match="another battle"):
        room.take("|turn|2")
    with pytest.raises(SkippedBattle, match="no such battle any more"):
        room.take("|noinit|nonexistent|The room \"x\" does not exist.")
    result = room.finish("enough")
    assert (result.decisions["p1"], result.refused["p1"], len(result.record["p1"])) == (1, 0, 1)


def test_a_choice_that_a_hidden_trap_prevents_is_made_again() -> None:
    room, _, request = beginning()
    assert asyncio.run(room.answer()).endswith("|7")
    assert asyncio.run(room.answer()) == ""
    room.take("|error|[Unavailable choice] Can't switch: The active Pokémon is trapped")
    assert asyncio.run(room.answer()) == ""
    room.take(f"|request|{request.replace('7}', '8}')}")
    assert asyncio.run(room.answer()).endswith("|8")
    result = room.finish("enough")
    assert (result.unavailable["p1"], result.refused["p1"], result.decisions["p1"]) == (1, 0, 1)
    assert [entry.get("rejected", False) for entry in result.record["p1"]] == [True, False]
    assert ME not in json.dumps(result.record)


def test_what_is_wrong_with_server_format_or_team_is_said(
        server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="has no format gen9nonsense"):
        play_on_server(Random(), "random", 1, server=server.address, format_="gen9nonsense")
    with pytest.raises(UsageError, match="not singles"):
        play_on_server(Random(), "random", 5, server=server.address, format_="gen9randomdoublesbattle")
    (tmp_path / "bad.txt").write_text(TEAM.replace("Multiscale", "Blaze"))
    for against in ("random", MaxPower()):
        with pytest.raises(UsageError, match=r"refuses the battle: .*Blaze"):
            play_on_server(Random(), against, 1, server=server.address, format_="gen9ou", teams=tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"ws://127.0.0.1:{nobody.getsockname()[1]}/showdown/websocket"
        done = run_cli("play", "random", "--via", "server", "--server", address, cwd=tmp_path)
    assert_told_in_two_lines(done, "no Showdown server answers", code=2)
    assert "just showdown" in done.stderr
    monkeypatch.setattr(session, "LOGIN_S", 1.0)
    for wrong in ("nonsense", server.address.replace("showdown/websocket", "elsewhere")):
        with pytest.raises(UsageError, match="no Showdown server answers"):
            play_on_server(Random(), "random", 1, server=wrong)


class LoginServer(BaseHTTPRequestHandler):
    """Knows one password."""

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        right = "pass=r1ght" in form
        told = {"actionsuccess": right, "assertion": "not,a,signature" if right else ";;wrong password"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"]" + json.dumps(told).encode() if "pass=html5" not in form else b"<html>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def login() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), LoginServer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/action.php"
        running.shutdown()


@pytest.mark.parametrize(("password", "why"), [
    ("wr0ng", "is refused"), ("r1ght", "is refused"), ("html5", "does not answer as a login server")])
def test_a_password_is_checked_where_passwords_are(server: LocalServer, login: str, password: str, why: str) -> None:
    """The server believes only what the real login server has signed, so that even the right password fails here."""
    account = Account(ME, password, login)
    with pytest.raises(UsageError, match=why) as error:
        play_on_server(Random(), "random", 1, server=server.address, account=account)
    assert "password" in error.value.hint
    assert password not in error.value.what + error.value.hint


def test_names_that_cannot_be_are_refused_before_anything_is_sent() -> None:
    for name in ("", "!!!", "a|b", "a\nb", "x" * 19):
        with pytest.raises(UsageError, match="not a user name"):
            Account(name)


def test_without_poke_env_it_says_how_to_install_it(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("poke_env.player", "websockets"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match="not installed") as error:
            play_on_server(Random(), "random", 1, server=server.address)
        assert "poke-bc[showdown]" in error.value.hint


def test_a_server_without_passwords_listens_on_this_machine_only(tmp_path: Path) -> None:
    configure(tmp_path)
    assert (tmp_path / "config" / "config.js").read_text() == CONFIG
    configure(tmp_path)
    (tmp_path / "config" / "config.js").write_text("exports.bindaddress = '0.0.0.0';")
    with pytest.raises(UsageError, match=r"bindaddress = '127\.0\.0\.1'"):
        configure(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_with_the_program_that_started_it(number: int) -> None:
    showdown_or_skip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "poke_bc.play.local_server", str(port)], stdout=subprocess.PIPE,
                          env=environment()) as program:
        assert program.stdout is not None
        assert f":{port}/showdown/websocket" in program.stdout.readline().decode()
        program.send_signal(number)
        assert program.wait(LIMIT_S) == 0
    with pytest.raises(UsageError, match="no Showdown server answers"):
        play_on_server(Random(), "random", 1, server=f"ws://127.0.0.1:{port}/showdown/websocket")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_plays_on_a_server_and_tells_the_score(server: LocalServer, tmp_path: Path) -> None:
    done = run_cli("play", "max-power", "--via", "server", "--server", server.address, "--against", "random",
                   "--format", "gen1randombattle", "--battles", "2", "--save-logs", "logs", "--json", cwd=tmp_path)
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["player"], told["against"], told["battles"], told["refused"]) == ("max-power", "random", 2, 0)
    assert len(lines_of(tmp_path / "logs" / LOGS)) == 2
    assert done.stderr == ""


@pytest.mark.parametrize(("options", "word"), [
    ({"name": "x"}, "--name"), ({"against": "human"}, "human"),
    ({"via": Via.server, "accept": "x"}, "--accept"), ({"via": Via.server, "name": "!"}, "not a user name")])
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        play(["random"], **options)
