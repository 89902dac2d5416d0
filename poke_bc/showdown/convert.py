"""One battle record -> the trajectories of both players, in two passes.

The first pass finds every decision and what the battle reveals; the second follows the battle again with both teams
known to their own players, and observes each decision at its moment. Where a player's requests were recorded, team,
legal actions and labels come from them, and nothing is inferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS
from poke_bc.contract.actions import NO_LABEL as NO_ACTION
from poke_bc.dex import dex
from poke_bc.showdown.asked import ask
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.brought import leave_home
from poke_bc.showdown.corpus import Corpus, OtherBattles
from poke_bc.showdown.damage.estimate import add_damage
from poke_bc.showdown.decision import NO_LABEL, OBSERVED, TURN, Decision
from poke_bc.showdown.first_pass import FirstPass, first_pass
from poke_bc.showdown.impute import inferred_team
from poke_bc.showdown.labels import Label, label_of
from poke_bc.showdown.legal import inferred_legal
from poke_bc.showdown.lines import entry
from poke_bc.showdown.observe import observe
from poke_bc.showdown.protocol import other, tier_of
from poke_bc.showdown.record import PLAYERS, BattleRecord, SkippedBattle
from poke_bc.showdown.requests import DecisionRequest, decision_requests
from poke_bc.showdown.state import Mon
from poke_bc.showdown.team import requested_team
from poke_bc.showdown.tracker import follow

__all__ = ["FirstPass", "convert", "first_pass"]

Json = dict[str, Any]


class Roster(msgspec.Struct):
    """One player's Pokémon in the second pass."""

    mons: list[Mon]
    counterparts: list[Mon | None]
    """By index of FirstPass.teams."""
    is_exact: bool
    """Whether they come from the player's requests."""

    @property
    def may_disguise(self) -> bool:
        """Whether requests may show an Illusion that the log does not."""
        return self.is_exact and any(mon.base in entry.ILLUSIONISTS or (
            mon.own_set is not None and mon.own_set.ability == "illusion") for mon in self.mons)


class DecisionPoint(msgspec.Struct, gc=False):
    """One decision to observe: from the log, from a request, or from both."""

    player: str
    at: int
    """Number of lines that the player had seen."""
    decision: Decision | None
    request: DecisionRequest | None = None

    @property
    def turn(self) -> int:
        """The turn that it is made in."""
        known = self.decision or self.request
        return known.turn if known else 0


class Row(msgspec.Struct, gc=False):
    """One step of a trajectory before it is written."""

    observation: Any
    legal: list[bool]
    label: Label
    stats: list[Mapping[str, int] | None] | None = None
    """Of the own six by slot, from requests."""


def convert(record: BattleRecord, corpus: Corpus, first: FirstPass | None = None) -> list[Json]:
    """Trajectories of p1 and p2 as JSON values; observations share lists. Raises SkippedBattle.

    Args:
        record: the battle.
        corpus: what all battles revealed, this one included.
        first: what `first_pass(record)` returned; None: it is done now.
    """
    first = first or first_pass(record)
    others = corpus.others(msgspec.structs.replace(first.revealed, battle=record.original_id or record.id))
    rosters = {player: _roster(record, player, first, others) for player in PLAYERS}
    points = _decision_points(record, first, rosters)
    views = _views(record, first, rosters)
    for player, rating in record.ratings.items():
        for battle in views.values():
            battle.sides[player].rating = rating
    rows: dict[str, list[Row]] = {player: [] for player in PLAYERS}
    for point in points:
        battle = views[point.player]
        follow(battle, record.lines[battle.lines_read:point.at])
        row = _row(battle, point, rosters[point.player])
        if _is_possible(row, point):
            rows[point.player].append(row)
    for battle in views.values():
        follow(battle, record.lines[battle.lines_read:])
    all_rows = [row for player in PLAYERS for row in rows[player]]
    if not all_rows:
        raise SkippedBattle("no decision")
    is_exact = any(roster.is_exact for roster in rosters.values())
    add_damage([row.observation for row in all_rows], first.gen, [row.stats for row in all_rows] if is_exact else None)
    return [_trajectory(record, views[player], player, rows[player], rosters[player])
            for player in PLAYERS if rows[player]]


def _views(record: BattleRecord, first: FirstPass, rosters: Mapping[str, Roster]) -> dict[str, Battle]:
    """The battle as each player sees it. One state is both, and half the work, unless Illusion makes them differ: then
    each knows only the own team and its Illusions, and takes the opponent's for what they show, like a Seat."""
    def view(illusions: Mapping[int, tuple[str, str]], *players: str) -> Battle:
        return Battle(first.gen, {player: rosters[player].mons for player in players}, illusions, first.returning_hp,
                      tier_of(record.format))

    if not first.illusions and not any(roster.may_disguise for roster in rosters.values()):
        return dict.fromkeys(PLAYERS, view({}, *PLAYERS))
    return {player: view({at: who for at, who in first.illusions.items()
                          if record.lines[at].split("|")[2].startswith(player)}, player) for player in PLAYERS}


def _roster(record: BattleRecord, player: str, first: FirstPass, others: OtherBattles) -> Roster:
    team, tables = first.teams[player], dex(first.gen)
    recorded = record.requests.get(player, ())  # type: ignore[call-overload]
    requests = [each.request for each in recorded if each.request.get("side", {}).get("pokemon")]
    if not requests:
        mons = inferred_team(team, tables, others, f"{record.id}\0{player}")
        leave_home(mons, team, f"{record.id}\0{player}")
        return Roster(mons, [*mons[:len(team.mons)]], is_exact=False)
    mons = requested_team(requests, tables)
    battle = Battle(first.gen, {player: mons})
    counterparts = [entry.find(battle, battle.sides[player], mon.nick, mon.details) for mon in team.mons]
    return Roster(mons, counterparts, is_exact=True)


def _decision_points(record: BattleRecord, first: FirstPass, rosters: Mapping[str, Roster]) -> list[DecisionPoint]:
    points: list[DecisionPoint] = []
    for player in PLAYERS:
        decisions = [decision for decision in first.decisions if decision.player == player]
        if rosters[player].is_exact:
            requests = decision_requests(record.requests[player], record.lines)  # type: ignore[index]
            points += _matched(player, requests, decisions)
        else:
            points += [DecisionPoint(player, decision.at, decision) for decision in decisions]
    return sorted(points, key=lambda point: (point.at, point.player))


def _matched(
    player: str, requests: Sequence[DecisionRequest], decisions: Sequence[Decision]
) -> Iterable[DecisionPoint]:
    """Each request with the decision that the log shows for it, in order, by turn and kind."""
    waiting: dict[tuple[int, bool], list[Decision]] = {}
    for decision in decisions:
        waiting.setdefault((decision.turn, decision.phase == TURN), []).append(decision)
    for request in requests:
        queue = waiting.get((request.turn, request.phase == TURN), [])
        yield DecisionPoint(player, request.at, queue.pop(0) if queue else None, request)


def _row(battle: Battle, point: DecisionPoint, roster: Roster) -> Row:
    player, request, decision = point.player, point.request, point.decision
    if request is None:
        assert decision is not None
        legal = inferred_legal(battle, player, decision.phase, decision.locked)
        observation = observe(battle, player, decision.phase, locked=decision.locked)
        label = label_of(battle, decision, legal, roster.counterparts)
        if label.gimmick != "none":  # it was there, whatever the log shows of the item
            observation.own_can_gimmick[GIMMICKS.index(label.gimmick) - 1] = True
        return Row(observation, legal, label)
    asked = ask(battle, player, request)
    if request.choice:
        action, gimmick = request.action(battle, asked.mons)
        label = Label(OBSERVED if action != NO_ACTION else NO_LABEL, action, None, gimmick)
    else:
        label = label_of(battle, decision, asked.legal, roster.counterparts, request.locked)
    return Row(asked.observation, asked.legal, label, asked.stats)


def _is_possible(row: Row, point: DecisionPoint) -> bool:
    """Whether anything could be chosen. Damaged requests or a damaged log may show a choice that could not."""
    label = row.label
    if label.label == OBSERVED and not row.legal[label.action]:
        raise SkippedBattle("inconsistent state", f"turn {point.turn}: a choice that was not legal")
    return True in row.legal


def _trajectory(record: BattleRecord, battle: Battle, player: str, rows: Sequence[Row], roster: Roster) -> Json:
    winner = battle.winner
    reward = 0.0 if winner in (None, "tie") else 1.0 if winner == player else -1.0
    side, foe = battle.sides[player], battle.sides[other(player)]
    trajectory: Json = {
        "replay_id": record.id, "player": player, "total_reward": reward, "format": record.format, "gen": battle.gen,
        "rating": side.rating if side.rating is not None else record.rating,
        "opponent_rating": foe.rating if foe.rating is not None else record.rating,
        "winner": winner, "date": record.date, "player_id": side.name or None,
        "original_id": record.original_id,
        "imputed": " ".join(sorted(f"{mon.details.species}.{what}" for mon in roster.mons if mon.own_set
                                   for what in mon.own_set.imputed)) or None,
    }
    trajectory = {key: value for key, value in trajectory.items() if value is not None}
    steps = trajectory["steps"] = [_step(row) for row in rows]
    steps[-1]["reward"], steps[-1]["done"] = reward, winner is not None
    return trajectory


def _step(row: Row) -> Json:
    label = row.label
    action = max(label.action, 0)
    is_switch = action >= MOVE_SLOTS
    step: Json = {
        "observation": row.observation, "action_type": int(is_switch),
        "action_target": action - MOVE_SLOTS if is_switch else action,
        "reward": 0.0, "done": False, "legal": row.legal, "label": label.label,
    }
    if label.candidates is not None:
        step["candidates"] = label.candidates
    if label.gimmick != "none":
        step["gimmick"] = label.gimmick
    return step
