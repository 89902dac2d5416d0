"""Grade converted trajectories against a recorded battle, field by field.

    PYTHONPATH=tests python -m truth.grade RECORDS.jsonl.zst CONVERTED.jsonl[.zst] [--exact] [--limit N] [--show 10]

`--exact`: the trajectories were converted with requests and choices in, so nothing may be guessed.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from truth.decisions import Decision, decisions, last_board, read_jsonl
from truth.leaks import grade_opponent
from truth.names import NOBODY, same
from truth.own_view import grade_field, grade_own, slots_of
from truth.tally import Tally

Json = Mapping[str, Any]
SPECTATOR_EXACT = re.compile(r"\|\d+/(?!100\b|48\b)\d+")
VISIBLE_BANS = ("encore", "disable", "taunt", "torment", "healblock")


def grade(record: Json, trajectories: Iterable[Json], *, exact: bool = False, tally: Tally | None = None) -> Tally:
    """Compare both players' trajectories with the record; adds to `tally` where one is given."""
    tally = tally or Tally()
    mine = {trajectory["player"]: trajectory for trajectory in trajectories if trajectory["replay_id"] == record["id"]}
    for player in ("p1", "p2"):
        end = last_board(record, player)
        exact_hp = any(SPECTATOR_EXACT.search(line) for line in record["spectator"])
        rows: dict[tuple[int, bool], deque[Json]] = defaultdict(deque)
        for step in mine.get(player, {"steps": []})["steps"]:
            seen = step["observation"]
            rows[seen["turn"], str(seen["phase"]).startswith(("forced", "revival"))].append(step)
        for truth in decisions(record, player):
            tally.check("view", player in mine, truth, "a trajectory", "none")
            if player not in mine:
                break
            queue = rows[truth.turn, truth.forced]
            tally.check("covered", bool(queue), truth, (truth.kind, truth.name), "no row")
            if not queue:
                continue
            step = queue.popleft()
            seen = step["observation"]
            tally.equal("phase", truth, truth.phase, seen["phase"])
            slots = grade_own(tally, truth, seen, end, exact, exact_hp)
            grade_field(tally, truth, seen, slots, exact)
            grade_opponent(tally, truth, seen)
            _grade_legal(tally, truth, step, slots, exact)
            _grade_label(tally, truth, step, slots, exact)
        for (turn, _), queue in rows.items():
            for step in queue:
                tally.compared["row without a choice"] += 1
                if step.get("label", "observed") == "observed":
                    tally.wrong["row without a choice"] += 1
                    tally.examples.setdefault("row without a choice", []).append(
                        f"{record['id']} {player} turn {turn} {step['observation']['phase']}: observed")
    return tally


def _active_slot(seen: Json) -> int | None:
    return next((slot for slot, here in enumerate(seen["own_active"]) if here), None)


def _grade_legal(tally: Tally, truth: Decision, step: Json, slots: Mapping[int, int], exact: bool) -> None:
    legal, seen = step.get("legal"), step["observation"]
    if legal is None:
        return
    tally.check("legal is not empty", any(legal), truth, "some action", legal)
    active = _active_slot(seen)
    apart = " (disguised)" if truth.disguised and not exact else ""
    if truth.phase == "turn" and active is not None:
        asked = {move["id"] for move in truth.request["active"][0]["moves"]}
        own = seen["own_moves"][4 * active:4 * active + 4]
        if len(asked) == 1 and not any(same(next(iter(asked)), move) for move in own):
            # Recharge, Struggle, "Fight": no slot has that name
            tally.check("legal.lone_move", True, truth, asked, legal)
        else:
            known = asked | {move for mon in truth.own if mon.active for move in mon.moves}
            _grade_legal_moves(tally, truth, own, legal, known, apart or ("" if exact else f" ({_ban(truth)})"))
    elif truth.phase != "turn":
        tally.check("legal.move: illegal marked legal" + apart, not any(legal[:4]), truth, "no moves", legal[:4])
    unsure = "" if exact or not truth.refused else " (hidden trap)"
    if not exact and truth.phase == "turn" and truth.request["active"][0].get("maybeTrapped") and not apart:
        apart = " (maybe trapped)"  # the request leaves it open; Shadow Tag may forbid it and be known
    open_names = {mon.name for mon in truth.legal_switches}
    for index, slot in slots.items():
        mon = truth.own[index]
        if mon.name in open_names:
            tally.check("legal.switch: legal marked illegal" + apart, bool(legal[4 + slot]), truth, mon.species, legal)
        else:
            tally.check("legal.switch: illegal marked legal" + apart + unsure, not legal[4 + slot], truth, mon.species,
                        legal)
    for slot in set(range(6)) - set(slots.values()):
        if seen["own_species"][slot] in NOBODY:
            tally.check("legal.switch: illegal marked legal" + apart, not legal[4 + slot], truth, "empty slot", legal)


def _ban(truth: Decision) -> str:
    """What forbids moves here, where the log says so."""
    if len(truth.request["active"][0]["moves"]) == 1:
        return "lock"
    volatiles = truth.board.sides[truth.player].volatiles
    return next((name for name in VISIBLE_BANS if name in volatiles), "hidden: item or PP")


def _grade_legal_moves(tally: Tally, truth: Decision, own: Sequence[str], legal: Sequence[bool], known: set[str],
                       apart: str) -> None:
    """`apart` marks the illegal ones, for what forbids them may not be known."""
    disguised = apart if "disguised" in apart else ""
    for slot, move in enumerate(own):
        if move in NOBODY:
            tally.check("legal.move: illegal marked legal" + apart, not legal[slot], truth, "empty slot", slot)
        elif any(same(move, name) for name in truth.legal_moves):
            tally.check("legal.move: legal marked illegal" + disguised, bool(legal[slot]), truth, move, list(legal))
        elif any(same(move, name) for name in truth.gimmick_moves):
            tally.check("legal.move: legal with gimmick" + disguised, bool(legal[slot]), truth, move, list(legal))
        elif any(same(move, name) for name in known):
            tally.check("legal.move: illegal marked legal" + apart, not legal[slot], truth, move, list(legal))


def _grade_label(tally: Tally, truth: Decision, step: Json, slots: Mapping[int, int], exact: bool) -> None:
    seen, label = step["observation"], step.get("label", "observed")
    action = step["action_target"] + (4 if step["action_type"] else 0)
    active, apart = _active_slot(seen), " (disguised)" if truth.disguised and not exact else ""
    if truth.kind == "switch":
        index = next((i for i, mon in enumerate(truth.own) if mon.species == truth.name), -1)
        if not exact and index >= 0 and truth.own[index].ability == "illusion":
            apart = " (illusion)"  # it may never have been unmasked
        meant = [slots[index]] if index in slots else slots_of(dict(seen), truth.name)
        right = {4 + slot for slot in meant}
        got = seen["own_species"][action - 4] if action >= 4 else f"move {action}"
    else:
        own = seen["own_moves"][4 * active:4 * active + 4] if active is not None else []
        right = {slot for slot, move in enumerate(own) if same(move, truth.name)}
        got = own[action] if action < len(own) else f"switch {action - 4}"
    alone = truth.kind == "move" and not right and len(truth.legal_moves) == 1  # recharge, Struggle: no slot's name
    tally.compared[f"labels {label}"] += 1
    if exact and not alone:
        tally.check("label is observed", label == "observed", truth, "observed", label)
    if label == "observed":
        name = "label.lone_move" if alone else f"label.{truth.kind}" + apart
        tally.check(name, action in right or (alone and action < 4), truth, truth.name, got)
        if step.get("legal"):
            tally.check("label in the mask", bool(step["legal"][action]), truth, truth.name, step["legal"])
        gimmick = str(step.get("gimmick") or "none")
        tally.equal("gimmick", truth, truth.gimmick or "none", gimmick)
    elif label == "censored":
        candidates = step.get("candidates") or []
        held = any(slot < len(candidates) and candidates[slot] for slot in right)
        name = "candidates (lone move)" if alone else "candidates hold the truth" + apart
        if not held and truth.kind == "move" and not exact and _is_guessed(truth, seen):
            name, held = "candidates hold the truth's kind", any(candidates[:4]) and not any(candidates[4:])
        tally.check(name, held, truth, truth.name, candidates)


def _is_guessed(truth: Decision, seen: Json) -> bool:
    """Whether the slot of the move may bear another name, which was imputed, or the log shows a Max Move or Z-Move."""
    active, asked = _active_slot(seen), truth.request["active"][0]
    true_moves = {move for mon in truth.own if mon.active for move in mon.moves}
    own = seen["own_moves"][4 * active:4 * active + 4] if active is not None else []
    return bool(truth.gimmick) or "maxMoves" in asked or not all(
        any(same(move, name) for name in true_moves) for move in own)


def main(arguments: list[str] | None = None) -> int:
    """Print one table; 1 if a field is wrong that should never be."""
    parser = argparse.ArgumentParser(description="Grade converted trajectories against recorded battles.")
    parser.add_argument("records", help="battle records (../shared/sim, ../shared/resim)")
    parser.add_argument("converted", help="what poke-bc convert wrote from them")
    parser.add_argument("--exact", action="store_true", help="converted with requests and choices in")
    parser.add_argument("--limit", type=int, default=0, help="only so many battles")
    parser.add_argument("--show", type=int, default=0, help="examples a field")
    given = parser.parse_args(arguments)
    converted: dict[str, list[Json]] = defaultdict(list)
    for trajectory in read_jsonl(given.converted):
        converted[trajectory["replay_id"]].append(trajectory)
    tally = Tally(keep=max(10, given.show))
    for count, record in enumerate(read_jsonl(given.records)):
        if given.limit and count >= given.limit:
            break
        grade(record, converted.get(record["id"], []), exact=given.exact, tally=tally)
    print(tally.table(given.show))
    return int(any(tally.wrong[name] for name in tally.wrong if "(" not in name))


if __name__ == "__main__":
    raise SystemExit(main())
