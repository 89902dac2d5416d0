"""Every decision of a recorded battle, with what was true and shown at that moment."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from truth.names import closeness, condition, toid
from truth.players_stream import Board
from truth.shown import Shown, details

Json = Mapping[str, Any]
GIMMICK_WORDS = {"mega": "mega", "megax": "mega", "megay": "mega", "ultra": "mega", "zmove": "z", "dynamax": "dynamax",
                 "max": "dynamax", "terastallize": "tera", "terastal": "tera"}


@dataclass
class Own:
    """One Pokémon of the player's own team, as the request has it."""

    name: str
    species: str
    level: int
    hp: float
    status: str
    fainted: bool
    active: bool
    moves: list[str]
    item: str
    ability: str
    tera: str
    terastallized: bool
    reviving: bool


@dataclass
class Decision:
    """One choice that was open and made."""

    battle: str
    player: str
    turn: int
    phase: str
    request: Json
    own: list[Own]
    board: Board
    kind: str
    """"move" or "switch"."""
    name: str
    """The chosen move's id, or the species switched to."""
    gimmick: str
    legal_moves: set[str]
    gimmick_moves: set[str]
    """Moves of their own legal only as Z-move or Max Move (a Choice lock, Taunt or Disable forbids the plain one)."""
    legal_switches: list[Own]
    refused: bool
    """Showdown had refused a choice just before, and told so (trapped by a hidden ability)."""
    pp_used: dict[str, int] = field(default_factory=dict)

    @property
    def forced(self) -> bool:
        return self.phase.startswith(("forced", "revival"))

    @property
    def opponent(self) -> str:
        return "p2" if self.player == "p1" else "p1"

    @property
    def active(self) -> Own | None:
        return next((mon for mon in self.own if mon.active), None)

    @property
    def disguised(self) -> bool:
        """The stream shows another Pokémon of the team in the place of the active one."""
        shown = self.board.sides[self.player].active
        return bool(self.active and shown and shown.name != self.active.name)

    def shown_of(self, own: Own) -> Shown | None:
        """The own Pokémon as the stream has it."""
        return shown_of(self.board, self.player, own)


def shown_of(board: Board, player: str, own: Own) -> Shown | None:
    """A Pokémon of a request on the board: by its name, or among those that only team preview showed."""
    team = board.sides[player].team
    named = next((mon for mon in team if mon.name == own.name), None)
    previewed = max((mon for mon in team if not mon.name), key=lambda mon: closeness(toid(own.species), mon.formes[0]),
                    default=None)
    if named is None and previewed is not None and closeness(toid(own.species), previewed.formes[0]):
        return previewed
    return named


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl or .jsonl.zst file."""
    packed = str(path).endswith(".zst")
    with pa.input_stream(str(path), compression="zstd" if packed else None) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf8"):
            if line.strip():
                yield json.loads(line)


def lines_of(record: Json, player: str) -> list[str]:
    """All lines that this player was shown."""
    if record[player] and "k" in record[player][0]:
        return [line for entry in record[player] if entry["k"] == "u" for line in entry["lines"]]
    return list(record["spectator"])


def last_board(record: Json, player: str) -> Board:
    """What was shown when the battle was over."""
    board = Board()
    for line in lines_of(record, player):
        board.read(line)
    return board


def decisions(record: Json, player: str) -> Iterator[Decision]:
    """The decisions a player really made, in order: choices accepted and not by default, team preview included."""
    board, read, refused = Board(), 0, False
    spectator = record["spectator"]
    for entry in record[player]:
        kind = entry.get("k", "r")
        if kind == "u":
            for line in entry["lines"]:
                board.read(line)
            continue
        if kind != "r":
            continue
        if "after_line" in entry:
            for line in spectator[read:entry["after_line"]]:
                board.read(line)
            read = max(read, entry["after_line"])
        request, choice = entry["request"], (entry.get("choice") or "").strip()
        choice = choice.removeprefix(f">{player} ")
        if entry.get("rejected"):
            refused = True
            continue
        if not choice or request.get("wait") or choice.startswith("default"):
            continue
        made = _decision(record["id"], player, request, choice, board)
        if made is not None:
            made.refused, refused = refused, False
            yield made


def _decision(battle: str, player: str, request: Json, choice: str, board: Board) -> Decision | None:
    own = [_own(entry) for entry in request["side"]["pokemon"]]
    phase = _phase(request, own)
    if phase == "preview":
        for mon in own:
            mon.active = False
    words = choice.split()
    active = request["active"][0] if phase == "turn" else {"moves": []}
    moves = active["moves"]
    gimmick = ""
    if words[0] == "move" and phase == "turn":
        kind, word = "move", words[1]
        name = moves[int(word) - 1]["id"] if word.isdigit() and int(word) <= len(moves) else toid(word)
        gimmick = GIMMICK_WORDS.get(words[2], words[2]) if len(words) > 2 else ""
    elif words[0] in ("switch", "team"):
        kind, word = "switch", words[1][:1] if words[0] == "team" else " ".join(words[1:])
        chosen = own[int(word) - 1] if word.isdigit() else max(own, key=lambda mon: _fits(mon, word))
        if not word.isdigit() and not _fits(chosen, word):
            return None
        name = chosen.species
    else:
        return None
    legal, with_gimmick = _legal_moves(active)
    return Decision(
        battle, player, board.turn, phase, request, own, copy.deepcopy(board), kind, name, gimmick,
        legal_moves=legal,
        gimmick_moves=with_gimmick - legal,
        legal_switches=_switches(phase, active, own),
        refused=False,
        pp_used={move["id"]: move["maxpp"] - move["pp"] for move in moves if "maxpp" in move},
    )


def _fits(mon: Own, word: str) -> int:
    return max(closeness(toid(mon.name), word), closeness(toid(mon.species), word))


def _legal_moves(active: Json) -> tuple[set[str], set[str]]:
    """The moves that are open as they are (as Max Moves, once dynamaxed), and those open with a gimmick."""
    moves = active["moves"]
    plain = {move["id"] for move in moves if not move.get("disabled")}
    max_moves = (active.get("maxMoves") or {}).get("maxMoves", [])
    as_max = {move["id"] for move, other in zip(moves, max_moves, strict=False) if not other.get("disabled")}
    as_z = {move["id"] for move, other in zip(moves, active.get("canZMove") or [], strict=False) if other}
    if max_moves and not active.get("canDynamax"):
        return as_max, set()
    return plain, as_max | as_z


def _phase(request: Json, own: list[Own]) -> str:
    if request.get("teamPreview"):
        return "preview"
    if not request.get("forceSwitch"):
        return "turn"
    if any(mon.reviving for mon in own):
        return "revival"
    return "forced_faint" if any(mon.active and mon.fainted for mon in own) else "forced_pivot"


def _switches(phase: str, active: Json, own: list[Own]) -> list[Own]:
    if phase == "preview":
        return list(own)
    if phase == "revival":
        return [mon for mon in own if mon.fainted]
    if active.get("trapped"):
        return []
    return [mon for mon in own if not mon.active and not mon.fainted]


def _own(entry: Json) -> Own:
    species, level, _ = details(entry["details"])
    hp, status, fainted = condition(entry["condition"]) or (0.0, "none", True)
    return Own(
        name=entry["ident"].split(": ", 1)[-1], species=species, level=level, hp=hp, status=status, fainted=fainted,
        active=bool(entry["active"]), moves=list(entry["moves"]), item=toid(entry.get("item")) or "none",
        ability=toid(entry.get("ability")), tera=toid(entry.get("teraType")) or "none",
        terastallized=bool(entry.get("terastallized")), reviving=bool(entry.get("reviving")),
    )
