"""Turn simulated battles (battle records) into the raw trajectories of the sample, schema `basic`.

    python data/sample/make_sample.py RECORDS --formats gen1randombattle gen2randombattle --out data/sample

A record holds, for each player, the protocol lines that player was sent (`u`) and the requests the server
made of that player with the choice made (`r`). Only these are read: an observation is what the player could
know when asked. Requests give own team, legal actions and label exactly; lines give turn, field and opponent.
Ids of species, statuses, weathers and terrains are explained in README.md and species.json beside the sample.
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

Json = dict[str, Any]

STATUSES = "brn par slp frz psn tox"
WEATHERS = "sunnyday raindance sandstorm hail snowscape desolateland primordialsea deltastream"
TERRAINS = "electricterrain grassyterrain mistyterrain psychicterrain"
STATUS, WEATHER, TERRAIN = (
    {name: number for number, name in enumerate(names.split(), start=1)}
    for names in (STATUSES, WEATHERS, TERRAINS)
)
MOST_LAYERS = {"stealthrock": 1, "spikes": 3, "toxicspikes": 2, "stickyweb": 1}

MOVE_SLOTS, TEAM_SLOTS = 4, 6
OTHER = {"p1": "p2", "p2": "p1"}
SPECIES_FIELDS = ("active_species_id", "opp_active_species_id", "opp_team_revealed")
ZSTD_LEVEL = 19


def to_id(name: str) -> str:
    """Showdown's id of a name: `Farfetch’d` -> `farfetchd`, `move: Stealth Rock` -> `stealthrock`."""
    return re.sub(r"[^a-z0-9]", "", name.removeprefix("move: ").lower())


def species_of(details: str) -> str:
    """`Deoxys-Attack, L73, shiny` -> `deoxysattack`."""
    return to_id(details.split(",")[0])


def hp_of(condition: str) -> float:
    """HP as a fraction: `219/293 par` -> 0.7474, `0 fnt` -> 0.0."""
    left, _, most = condition.split()[0].partition("/")
    return round(int(left) / int(most), 4) if most else 0.0


def status_of(condition: str) -> int:
    """The status as its number in STATUS: `219/293 par` -> 2, none -> 0."""
    return next((STATUS[word] for word in condition.split()[1:] if word in STATUS), 0)


def is_fainted(mon: Json) -> bool:
    """Whether a Pokémon of a request has fainted."""
    return str(mon["condition"]).endswith(" fnt")


@dataclass
class Board:
    """What one player has read so far about field and opponent."""

    me: str
    turn: int = 0
    weather: int = 0
    terrain: int = 0
    hazards: dict[str, Counter[str]] = field(default_factory=lambda: {"p1": Counter(), "p2": Counter()})
    opp_active: str = ""
    opp_hp: float = 0.0
    opp_revealed: dict[str, str] = field(default_factory=dict)  # nickname -> species, in order of appearance
    names: dict[str, str] = field(default_factory=dict)  # account name -> p1 or p2
    winner: str | None = None

    def read(self, line: str) -> None:
        """Apply one protocol line (PS SIM-PROTOCOL.md); lines that no field depends on are passed over."""
        match line.split("|")[1:]:
            case ["turn", number, *_]:
                self.turn = int(number)
            case ["player", side, name, *_] if name:
                self.names[name] = side
            case ["win", name, *_]:
                self.winner = self.names[name]
            case ["-weather", weather, *_]:
                self.weather = WEATHER.get(to_id(weather), 0)
            case ["-fieldstart", effect, *_]:
                self.terrain = TERRAIN.get(to_id(effect), self.terrain)
            case ["-fieldend", effect, *_] if TERRAIN.get(to_id(effect)) == self.terrain:
                self.terrain = 0
            case ["-sidestart", side, effect, *_]:
                self.lay(side[:2], to_id(effect))
            case ["-sideend", side, effect, *_]:
                self.hazards[side[:2]].pop(to_id(effect), None)
            case ["-swapsideconditions", *_]:
                self.hazards = {side: self.hazards[OTHER[side]] for side in OTHER}
            case [event, who, *rest] if who.startswith(OTHER[self.me]) and ": " in who:
                self.read_opponent(event, who, rest)

    def lay(self, side: str, effect: str) -> None:
        """Add one layer of a hazard, up to its maximum; screens and the like are passed over."""
        if effect in MOST_LAYERS:
            self.hazards[side][effect] = min(self.hazards[side][effect] + 1, MOST_LAYERS[effect])

    def read_opponent(self, event: str, who: str, rest: list[str]) -> None:
        """One line about an opponent's Pokémon; `p2a: Abra` stands on the field, `p2: Abra` does not.

        Transform changes nothing here: the species shown stays that of the user, as in its own request.
        """
        name, on_field = who.split(": ", 1)[1], who[2] == "a"
        match event, rest:
            case "switch" | "drag", [details, condition, *_]:
                self.opp_active, self.opp_hp = species_of(details), hp_of(condition)
                self.opp_revealed[name] = self.opp_active
            case "replace" | "detailschange", [details, *_]:
                self.opp_revealed[name] = species_of(details)
                self.opp_active = species_of(details) if on_field else self.opp_active
            case "-formechange", [species, *_]:
                self.opp_active = to_id(species)
            case "-damage" | "-heal" | "-sethp", [condition, *_] if on_field:
                self.opp_hp = hp_of(condition)
            case "faint", _:
                self.opp_hp = 0.0


def identity(mon: Json) -> tuple[str, ...]:
    """What stays with a Pokémon through forme changes: nickname, level, gender, shininess."""
    traits = (trait for trait in mon["details"].split(", ")[1:] if not trait.startswith("tera:"))
    return (mon["ident"], *traits)


def in_slots(team: list[Json], slots: list[tuple[str, ...]]) -> list[int]:
    """The fixed slot of each Pokémon of a request, whose list Showdown reorders at every switch.

    Twins that no request tells apart take their slots in the order listed.
    """
    free = dict(enumerate(slots))
    found = []
    for mon in team:
        slot = next(slot for slot, who in free.items() if who == identity(mon))
        del free[slot]
        found.append(slot)
    return found


def home_slots(known: list[str]) -> list[int]:
    """The slot of each known move: its home, or the next free one; homes are given out in the order of ids.

    A move's home is a hash of its id, so that it mostly stands in the same slot whatever the three beside it are:
    `basic` does not tell a policy its moves, and sorted by id a slot would mean another move in every set.
    """
    taken: dict[int, int] = {}
    for i in sorted(range(len(known)), key=lambda i: known[i]):
        home = zlib.crc32(known[i].encode())
        taken[next(slot % MOVE_SLOTS for slot in count(home) if slot % MOVE_SLOTS not in taken)] = i
    return [slot for slot, _ in sorted(taken.items(), key=lambda pair: pair[1])]


def move_slots(asked: list[Json], known: list[str]) -> list[int]:
    """The slot of each move of a request.

    A full list has the order of `known`, though not always its spelling (`return`, `return102`); Transform
    and Mimic change both alike. One move alone is a locked one, or none of the four (Struggle, Recharge and
    generation 1's Fight) and then takes slot 0.
    """
    slots = home_slots(known)
    if len(asked) == len(known):
        return slots
    (move,) = asked
    return [next((slot for slot, name in zip(slots, known, strict=True) if name.startswith(move["id"])), 0)]


def open_moves(active: Json) -> list[bool]:
    """Which moves of a request can be chosen, with or without a gimmick.

    A Max or Z-Move ignores what disables its base move (choice items, Encore), never empty PP (Showdown's
    sim/side.ts, chooseMove). While dynamaxed (`maxMoves`, no `canDynamax`) only the Max Moves' state counts.
    """
    moves: list[Json] = active["moves"]
    is_open = [not move.get("disabled") for move in moves]
    if "maxMoves" in active:
        as_max = [not move.get("disabled") for move in active["maxMoves"]["maxMoves"]]
        may_stay = "canDynamax" in active
        is_open = [m or (n and may_stay) for m, n in zip(as_max, is_open, strict=True)]
    elif "canZMove" in active:
        is_open = [n or z is not None for n, z in zip(is_open, active["canZMove"], strict=True)]
    return [ok and move.get("pp", 1) > 0 for ok, move in zip(is_open, moves, strict=True)]


def open_switches(request: Json) -> list[bool]:
    """Which Pokémon of a request can be switched to, or revived."""
    team: list[Json] = request["side"]["pokemon"]
    if "active" in request and request["active"][0].get("trapped"):
        return [False] * len(team)
    reviving = any(mon.get("reviving") for mon in team)
    return [is_fainted(mon) == reviving and not mon["active"] for mon in team]


def decide(request: Json, choice: str, slots: list[int]) -> tuple[int, list[bool]]:
    """The action taken, and the ten legal ones."""
    team: list[Json] = request["side"]["pokemon"]
    legal = [False] * (MOVE_SLOTS + TEAM_SLOTS)
    for slot, ok in zip(slots, open_switches(request), strict=True):
        legal[MOVE_SLOTS + slot] = ok
    moves: list[int] = []
    if "active" in request:
        active = request["active"][0]
        moves = move_slots(active["moves"], next(mon["moves"] for mon in team if mon["active"]))
        for slot, ok in zip(moves, open_moves(active), strict=True):
            legal[slot] = ok
    kind, number, *_ = choice.split()
    action = moves[int(number) - 1] if kind == "move" else MOVE_SLOTS + slots[int(number) - 1]
    return action, legal


def observe(board: Board, request: Json, slots: list[int]) -> Json:
    """The 21 keys of schema `basic`, species still by name."""
    team: list[Json] = request["side"]["pokemon"]
    by_slot = [mon for _, mon in sorted(zip(slots, team, strict=True), key=lambda pair: pair[0])]
    active = next(mon for mon in team if mon["active"])
    own, opp = board.hazards[board.me], board.hazards[OTHER[board.me]]
    return {
        "turn": board.turn,
        "active_species_id": species_of(active["details"]),
        "active_hp": hp_of(active["condition"]),
        "active_status": status_of(active["condition"]),
        "team_hp": [hp_of(mon["condition"]) for mon in by_slot],
        "team_status": [status_of(mon["condition"]) for mon in by_slot],
        "team_fainted": [is_fainted(mon) for mon in by_slot],
        "opp_active_species_id": board.opp_active,
        "opp_active_hp": board.opp_hp,
        "opp_team_revealed": (list(board.opp_revealed.values()) + [""] * TEAM_SLOTS)[:TEAM_SLOTS],
        "weather_id": board.weather,
        "terrain_id": board.terrain,
        **hazard_keys("own", own),
        **hazard_keys("opp", opp),
        "team_id": 0,
    }


def hazard_keys(side: str, hazards: Counter[str]) -> Json:
    """The four hazard keys of one side, `own` or `opp`."""
    return {
        f"{side}_stealth_rock": hazards["stealthrock"] > 0,
        f"{side}_spikes": hazards["spikes"],
        f"{side}_toxic_spikes": hazards["toxicspikes"],
        f"{side}_sticky_web": hazards["stickyweb"] > 0,
    }


def is_decision(event: Json) -> bool:
    """Whether a request was answered, by a choice the server took, during play."""
    request = event["request"]
    skipped = request.get("wait") or request.get("teamPreview") or event.get("rejected")
    return event["choice"] is not None and not skipped


def to_trajectory(record: Json, player: str) -> Json:
    """One player's view of one battle."""
    board, steps = Board(me=player), []
    slots: list[tuple[str, ...]] = []
    for event in record[player]:
        if event["k"] == "u":
            for line in event["lines"]:
                board.read(line)
        elif event["k"] == "r":
            team = event["request"]["side"]["pokemon"]
            slots = slots or [identity(mon) for mon in team]
            if is_decision(event):
                steps.append(to_step(board, event, in_slots(team, slots)))
    total = 0.0 if board.winner is None else 1.0 if board.winner == player else -1.0
    steps[-1].update(reward=total, done=True)
    return {
        "replay_id": record["id"],
        "player": player,
        "total_reward": total,
        "format": record["format"],
        "gen": int(record["format"][3]),
        "winner": board.winner,
        "steps": steps,
    }


def to_step(board: Board, event: Json, slots: list[int]) -> Json:
    """One decision with its observation, label and legal mask; reward and end are filled in later."""
    action, legal = decide(event["request"], event["choice"], slots)
    assert legal[action], (board.me, board.turn, event["choice"], legal)
    kind, target = (0, action) if action < MOVE_SLOTS else (1, action - MOVE_SLOTS)
    return {
        "observation": observe(board, event["request"], slots),
        "action_type": kind,
        "action_target": target,
        "reward": 0.0,
        "done": False,
        "legal": legal,
    }


def number_species(trajectories: list[Json]) -> dict[int, str]:
    """Replace species names by ids, in place; returns id -> `gen1:abra`, sorted by name from 1 (0: none).

    Generations do not share ids: one species has other moves in each, so its id would name other slots.
    """
    seen = [(f"gen{line['gen']}:", step["observation"]) for line in trajectories for step in line["steps"]]
    names = {gen + name for gen, obs in seen for key in SPECIES_FIELDS for name in as_list(obs[key]) if name}
    ids = {name: i for i, name in enumerate(sorted(names), start=1)}
    for gen, obs in seen:
        for key in SPECIES_FIELDS:
            found = [ids.get(gen + name, 0) for name in as_list(obs[key])]
            obs[key] = found if isinstance(obs[key], list) else found[0]
    return {i: name for name, i in ids.items()}


def as_list(value: str | list[str]) -> list[str]:
    """A single name as a list of one."""
    return value if isinstance(value, list) else [value]


def read_records(paths: Iterable[Path]) -> Iterator[Json]:
    """The battle records of zstd JSONL files, in order."""
    for path in paths:
        with pa.input_stream(str(path), compression="zstd") as stream:
            yield from (json.loads(line) for line in stream.read().splitlines())


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside `path`, then rename."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def make_sample(records: Path, formats: list[str], out: Path) -> None:
    """Write raw.jsonl.zst and species.json: p1 then p2 of each battle, formats in the order given."""
    battles = read_records(records / f"{name}.jsonl.zst" for name in formats)
    trajectories = [to_trajectory(record, player) for record in battles for player in ("p1", "p2")]
    species = number_species(trajectories)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in trajectories)
    out.mkdir(parents=True, exist_ok=True)
    codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    write_atomic(out / "raw.jsonl.zst", codec.compress(text.encode(), asbytes=True))
    write_atomic(out / "species.json", (json.dumps(species, indent=0) + "\n").encode())


def main() -> None:
    """Read the command line and make the sample."""
    parser = argparse.ArgumentParser(description="Simulated battles (battle records) -> raw trajectories.")
    parser.add_argument("records", type=Path, help="folder with FORMAT.jsonl.zst battle records")
    parser.add_argument(
        "--formats", nargs="+", default=["gen1randombattle", "gen2randombattle"], metavar="FORMAT"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    args = parser.parse_args()
    make_sample(args.records, args.formats, args.out)


if __name__ == "__main__":
    main()
