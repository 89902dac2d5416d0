"""One battle record -> the trajectories of both players, in two passes.

The first pass (poke_bc.showdown.story) finds every decision and what the battle reveals; the second walks through it
again with both teams known to their own players, and observes each decision at its moment. Where a player's requests
were recorded, team, legal actions and labels come from them, and nothing is inferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, NUM_ACTIONS, TEAM_SLOTS
from poke_bc.contract.actions import NO_LABEL as NO_ACTION
from poke_bc.dex import dex
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.choices import NO_SLOT
from poke_bc.showdown.corpus import Corpus, Others, RevealedSets
from poke_bc.showdown.damage import add_damage
from poke_bc.showdown.decision import (
    AMONG_ALL,
    AMONG_MOVES,
    AMONG_SWITCHES,
    CENSORED,
    NO_LABEL,
    OBSERVED,
    PREVIEW,
    TURN,
    Decision,
)
from poke_bc.showdown.legal import inferred_legal, moves_of, only_option, requested_legal, slot_of
from poke_bc.showdown.lines import entry
from poke_bc.showdown.observe import observe
from poke_bc.showdown.power import base_slots
from poke_bc.showdown.protocol import move_id, other, read_details
from poke_bc.showdown.record import PLAYERS, BattleRecord, SkippedBattle
from poke_bc.showdown.requests import Ask, read_asks, requested_gimmicks
from poke_bc.showdown.state import Mon
from poke_bc.showdown.story import Story, read_story
from poke_bc.showdown.team import inferred_team, move_name, requested_team, shown_set, take_request

Json = dict[str, Any]


def generation(record: BattleRecord) -> int:
    """1 to 9, from `|gen|` or the format's id.

    Formats had no number before 2016-11, and logs no `|gen|` at first: generation 6 then where something of it is
    there, else 5.
    """
    text = next((line[5:] for line in record.lines[:60] if line.startswith("|gen|")), "")
    text = text or (record.format[3:4] if record.format.startswith("gen") else "")
    if not text:
        named = any(word in record.format for word in ("pokebank", "xy", "oras"))
        return 6 if named or _is_new(record.lines) else 5
    if text not in tuple("123456789"):
        raise SkippedBattle("unknown generation", text)
    return int(text)


def _is_new(lines: Iterable[str]) -> bool:
    """Whether something of generation 6 is shown: a mega evolution, a species, a move."""
    for line in lines:
        kind, _, rest = line[1:].partition("|")
        if kind == "-mega":
            return True
        name = rest.split("|")[1] if kind in ("poke", "switch", "drag", "move") and "|" in rest else ""
        if kind == "move" and name and dex(5).move(move_id(name)) is None and dex(6).move(move_id(name)) is not None:
            return True
        if kind in ("poke", "switch", "drag") and name:
            species = read_details(name).species
            if dex(5).species(species) is None and dex(6).species(species) is not None:
                return True
    return False


def reveal(record: BattleRecord) -> RevealedSets:
    """What a battle shows of every set: the first pass alone. Raises SkippedBattle."""
    gen = generation(record)
    return _revealed(record, read_story(record.lines, gen), gen)


def _revealed(record: BattleRecord, story: Story, gen: int) -> RevealedSets:
    sets = [shown_set(mon, dex(gen)) for player in PLAYERS for mon in story.battle.sides[player].mons]
    return RevealedSets(record.id, record.format, tuple(sets))


def convert(record: BattleRecord, corpus: Corpus) -> list[Json]:
    """Trajectories of p1 and p2, as JSON writes them. Raises SkippedBattle."""
    gen = generation(record)
    story = read_story(record.lines, gen)
    others = corpus.others(_revealed(record, story, gen))
    teams = {player: _team(record, player, story, others, gen) for player in PLAYERS}
    moments = _moments(record, story, teams)
    if not moments:
        raise SkippedBattle("no decision")
    views: dict[str, list[Step]] = {player: [] for player in PLAYERS}
    battle = Battle(gen, {player: list(team.mons) for player, team in teams.items()}, story.truth, story.returns)
    lines, at = record.lines, 0
    for moment in moments:
        while at < moment.at:
            battle.read(lines[at])
            at += 1
        views[moment.player].append(_step(battle, moment, teams[moment.player]))
    for line in lines[at:]:
        battle.read(line)
    steps = [step for player in PLAYERS for step in views[player]]
    add_damage([step.observation for step in steps], gen, [step.stats or [None] * TEAM_SLOTS for step in steps])
    return [_trajectory(record, battle, gen, player, views[player], teams[player]) for player in PLAYERS
            if views[player]]


@dataclass(slots=True)
class Team:
    """One player's Pokémon of the second pass, and who they were in the first."""

    mons: list[Mon]
    again: dict[Mon, Mon]
    exact: bool


@dataclass(slots=True)
class Moment:
    """One decision to observe: from the log, from a request, or from both."""

    player: str
    at: int
    decision: Decision | None
    ask: Ask | None = None


@dataclass(slots=True)
class Step:
    """One row to be."""

    observation: Json
    legal: list[bool]
    label: str
    action: int
    candidates: list[bool] | None
    gimmick: str
    stats: list[Mapping[str, int] | None] | None = None
    """Of the own six by slot, where requests tell them."""


def _team(record: BattleRecord, player: str, story: Story, others: Others, gen: int) -> Team:
    side, tables = story.battle.sides[player], dex(gen)
    asked = record.asked.get(player, ())  # type: ignore[call-overload]
    requests = [ask.request for ask in asked if ask.request.get("side", {}).get("pokemon")]
    if not requests:
        mons = inferred_team(side, tables, others, record.id)
        return Team(mons, dict(zip(side.mons, mons, strict=False)), exact=False)
    mons = requested_team(requests, tables)
    found = Battle(gen, {player: mons})
    again = {}
    for mon in side.mons:
        mine = entry.find(found, found.sides[player], mon.nick, mon.details)
        if mine is not None:
            again[mon] = mine
    return Team(mons, again, exact=True)


def _moments(record: BattleRecord, story: Story, teams: dict[str, Team]) -> list[Moment]:
    moments: list[Moment] = []
    for player in PLAYERS:
        mine = [decision for decision in story.decisions if decision.player == player]
        if teams[player].exact:
            asks = read_asks(record.asked[player], record.lines)  # type: ignore[index]
            moments += _matched(player, asks, mine)
        else:
            moments += [Moment(player, decision.at, decision) for decision in mine]
    order = {player: place for place, player in enumerate(PLAYERS)}
    return sorted(moments, key=lambda moment: (moment.at, order[moment.player]))


def _matched(player: str, asks: Sequence[Ask], decisions: Sequence[Decision]) -> Iterable[Moment]:
    """Each request with the decision that the log shows for it, in order, by turn and kind."""
    waiting: dict[tuple[int, bool], list[Decision]] = {}
    for decision in decisions:
        waiting.setdefault((decision.turn, decision.phase == TURN), []).append(decision)
    for ask in asks:
        queue = waiting.get((ask.turn, ask.phase == TURN), [])
        yield Moment(player, ask.at, queue.pop(0) if queue else None, ask)


def _step(battle: Battle, moment: Moment, team: Team) -> Step:
    player, ask, decision = moment.player, moment.ask, moment.decision
    if ask is not None:
        mons = take_request(battle.sides[player], ask.request, battle.dex)
        standing = next((mon for mon, row in zip(mons, ask.request["side"]["pokemon"], strict=True)
                         if row.get("active")), None)
        if standing is not None and ask.phase != PREVIEW:
            entry.stands(battle, player, standing)
        legal = requested_legal(battle, player, ask.request, mons)
        can = requested_gimmicks(ask.request)
        observation = observe(battle, player, ask.phase, locked=ask.locked, can=can)
        if ask.choice:
            action, gimmick = ask.action(battle, mons)
            label = OBSERVED if action != NO_ACTION else NO_LABEL
            return Step(observation, legal, label, action, None, gimmick, _stats(team))
        step = _labelled(battle, observation, legal, decision, team)
        step.stats = _stats(team)
        return step
    assert decision is not None
    legal = inferred_legal(battle, player, decision.phase, decision.locked)
    observation = observe(battle, player, decision.phase, locked=decision.locked)
    return _labelled(battle, observation, legal, decision, team)


def _stats(team: Team) -> list[Mapping[str, int] | None]:
    found: list[Mapping[str, int] | None] = [None] * TEAM_SLOTS
    for mon in team.mons:
        found[mon.slot] = mon.stats
    return found


def _labelled(battle: Battle, observation: Json, legal: list[bool], decision: Decision | None, team: Team) -> Step:
    """The label that the log shows.

    Where some of the four moves are imputed, no list of slots is sure to hold an unseen move: that is no label.
    """
    nothing = Step(observation, legal, NO_LABEL, NO_ACTION, None, "none")
    if decision is None or decision.label == NO_LABEL:
        return nothing
    active = battle.sides[decision.player].active
    if active is not None and decision.phase == TURN and decision.target is None \
            and only_option(battle, active) in NO_SLOT:
        return nothing
    own = None if active is None else (active.copied or active).own
    complete = own is None or not own.imputed.intersection(own.moves)
    if decision.label == OBSERVED and decision.target is not None:
        mon = team.again.get(decision.target)
        found, sure = ([MOVE_SLOTS + mon.slot] if mon is not None else []), True
    elif decision.label == OBSERVED:
        found = _move_slots(battle, decision)
        sure = complete or not decision.power
    else:
        wanted = {AMONG_MOVES: range(MOVE_SLOTS), AMONG_SWITCHES: range(MOVE_SLOTS, NUM_ACTIONS),
                  AMONG_ALL: range(NUM_ACTIONS)}[decision.among]
        found, sure = [action for action in wanted if legal[action]], complete or decision.among == AMONG_SWITCHES
    if not found or not sure:
        return nothing
    if len(found) == 1 and decision.label == OBSERVED:
        if found[0] >= MOVE_SLOTS and not legal[found[0]] and _cannot_come(battle, decision, found[0] - MOVE_SLOTS):
            return nothing
        legal[found[0]] = True  # the log shows it; what seemed to forbid it was not so
        return Step(observation, legal, OBSERVED, found[0], None, decision.gimmick)
    found = [action for action in found if legal[action]]
    if not found:
        return nothing
    return Step(observation, legal, CENSORED, NO_ACTION, [action in found for action in range(NUM_ACTIONS)],
                decision.gimmick)


def _cannot_come(battle: Battle, decision: Decision, slot: int) -> bool:
    """Whether the one who came in stood there already or had fainted: an Illusion that never showed."""
    side = battle.sides[decision.player]
    return any(mon.slot == slot and (mon is side.active or mon.fainted) for mon in side.mons)


def _move_slots(battle: Battle, decision: Decision) -> list[int]:
    """Slots that the move shown may have come from: one, but for Z-Moves and Max Moves of a type it has twice."""
    active = battle.sides[decision.player].active
    if active is None:
        return []
    names = moves_of(battle, decision.player, active)
    if decision.power:
        return base_slots(battle.dex, names, decision.move, decision.power)
    slot = slot_of(names, move_name(battle.dex, decision.move))
    return [slot] if slot is not None else []


def _trajectory(
    record: BattleRecord, battle: Battle, gen: int, player: str, steps: Sequence[Step], team: Team
) -> Json:
    won = battle.winner
    reward = 0.0 if won in (None, "tie") else 1.0 if won == player else -1.0
    side, foe = battle.sides[player], battle.sides[other(player)]
    line: Json = {
        "replay_id": record.id, "player": player, "total_reward": reward, "format": record.format, "gen": gen,
        "rating": side.rating if side.rating is not None else record.rating,
        "opponent_rating": foe.rating if foe.rating is not None else record.rating,
        "winner": won, "date": record.date, "player_id": side.name or None,
        "imputed": " ".join(sorted(f"{mon.details.species}.{what}" for mon in team.mons if mon.own
                                   for what in mon.own.imputed)) or None,
    }
    line = {key: value for key, value in line.items() if value is not None}
    last = len(steps) - 1
    line["steps"] = [_step_json(step, reward if place == last else 0.0, place == last and won is not None)
                     for place, step in enumerate(steps)]
    return line


def _step_json(step: Step, reward: float, done: bool) -> Json:
    labelled = step.action != NO_ACTION
    action = step.action if labelled else 0
    row: Json = {
        "observation": step.observation,
        "action_type": 0 if action < MOVE_SLOTS else 1,
        "action_target": action if action < MOVE_SLOTS else action - MOVE_SLOTS,
        "reward": reward, "done": done, "legal": step.legal, "label": step.label,
    }
    if step.candidates is not None:
        row["candidates"] = step.candidates
    if step.gimmick != "none":
        row["gimmick"] = step.gimmick
    return row
