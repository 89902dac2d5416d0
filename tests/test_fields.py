"""Fields of the singles schema that follow from several lines: who is faster, what effects are about, what is known of
the own stats; and that an observation holds nothing of what only the opponent knew."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from battles_at import View, battles, read, record
from hypothesis import given
from hypothesis import strategies as st
from test_scripted import recorded

from poke_bc.contract.rows import row_bytes
from poke_bc.contract.schema import load_schema
from poke_bc.showdown.convert import convert, first_pass
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.protocol import tier_of
from poke_bc.showdown.record import BattleRecord, SkippedBattle

SINGLES = load_schema("singles")
HEAD = ["|player|p1|Ash|1|1512", "|player|p2|Gary|2|", "|teamsize|p1|2", "|teamsize|p2|2", "|gametype|singles",
        "|gen|9", "|tier|[Gen 9] OU", "|start", "|switch|p1a: A|Garchomp, M|100/100",
        "|switch|p2a: B|Snorlax, M|100/100", "|turn|1"]
FAST, SLOW = "|move|p1a: A|Earthquake|p2a: B", "|move|p2a: B|Body Slam|p1a: A"


def rows(*lines: str, head: list[str] = HEAD) -> tuple[View, View]:
    """Both players' rows of a log that goes on like this."""
    of = read({"id": "gen9ou-1", "format": "gen9ou", "log": "\n".join([*head, *lines, "|win|Ash"])})
    corpus = Corpus()
    corpus.add(first_pass(of).revealed)
    one, two = convert(of, corpus)
    return View(seen(one)), View(seen(two))


def seen(trajectory: dict[str, Any]) -> dict[str, Any]:
    """With observations as dictionaries."""
    return trajectory | {"steps": [step | {"observation": {
        name: getattr(step["observation"], name) for name in SINGLES.field_names}} for step in trajectory["steps"]]}


def order(*lines: str) -> tuple[int, int]:
    """`speed_order` of both players after such a turn."""
    one, two = rows(*lines, "|turn|2", FAST, SLOW)
    return one.at(2).seen["speed_order"], two.at(2).seen["speed_order"]


@pytest.mark.parametrize(("lines", "expected"), [
    ([FAST, SLOW], 1),
    ([SLOW, FAST], -1),
    ([FAST], 0),
    ([FAST, "|cant|p2a: B|flinch"], 0),
    (["|move|p1a: A|Extreme Speed|p2a: B", SLOW], 0),
    ([FAST, "|move|p2a: B|Trick Room|p2a: B"], 0),
    (["|-fieldstart|move: Trick Room", SLOW, FAST], 1),
    (["|-boost|p1a: A|spe|1", FAST, SLOW], 0),
    (["|-boost|p1a: A|spe|1", SLOW, FAST], -1),
    (["|-boost|p2a: B|spe|1", FAST, SLOW], 1),
    (["|-boost|p2a: B|spe|1", SLOW, FAST], 0),
    (["|-status|p2a: B|par", FAST, SLOW], 0),
    (["|-status|p1a: A|par", FAST, SLOW], 1),
    (["|-sidestart|p1: Ash|move: Tailwind", FAST, SLOW], 0),
    (["|-activate|p2a: B|item: Quick Claw", SLOW, FAST], 0),
    ([FAST, "|-unboost|p2a: B|spe|1", SLOW], 1),
], ids=str)
def test_who_moved_first_is_faster_if_nothing_else_explains_it(lines: list[str], expected: int) -> None:
    assert order(*lines) == (expected, -expected)


def test_the_order_of_a_pair_is_remembered_on_the_bench_until_an_item_changes_hands() -> None:
    back = ["|switch|p1a: C|Blissey, F|100/100", "|turn|3"]
    one, two = rows(FAST, SLOW, "|turn|2", *back)
    garchomp = one.at(3).seen["own_species"].index("garchomp")
    assert one.at(3).seen["own_speed_order"] == [int(slot == garchomp) for slot in range(6)]
    assert one.at(3).seen["speed_order"] == two.at(3).seen["speed_order"] == 0
    tricked = ["|-activate|p2a: B|move: Trick|[of] p1a: A", "|-item|p1a: A|Choice Scarf|[from] move: Trick"]
    one, _ = rows(FAST, SLOW, *tricked, "|turn|2", *back)
    assert one.at(3).seen["own_speed_order"] == [0] * 6


@pytest.mark.parametrize(("forme", "known"), [("Garchomp-Mega, M", 0), ("Garchomp, M", 1)])
def test_a_forme_of_another_speed_starts_anew(forme: str, known: int) -> None:
    one, _ = rows(FAST, SLOW, f"|detailschange|p1a: A|{forme}", "|turn|2", FAST)
    assert one.at(2).seen["speed_order"] == known


def test_what_a_disguise_showed_is_true_of_the_one_behind_it() -> None:
    lines = [FAST, SLOW, "|replace|p2a: Z|Zoroark, M", "|turn|2", FAST, "|switch|p2a: B|Snorlax, M|100/100", "|turn|3"]
    one, _ = rows(*lines)
    assert (one.at(1).seen["speed_order"], one.at(2).seen["speed_order"], one.at(3).seen["speed_order"]) == (0, 1, 0)


def test_effects_count_their_turns_and_say_which_moves_they_are_about() -> None:
    lines = [FAST, "|-start|p1a: A|Encore", "|-start|p1a: A|move: Taunt", "|-start|p1a: A|Disable|Earthquake",
             "|turn|2", FAST, "|turn|3", "|-end|p1a: A|Encore", "|-end|p1a: A|Disable", "|turn|4", FAST]
    one, two = rows(*lines)
    for turn, turns, moves in ((1, [0, 0, 0, 0], ["none", "none"]), (2, [1, 1, 1, 0], ["earthquake"] * 2),
                               (3, [2, 2, 2, 0], ["earthquake"] * 2), (4, [3, 0, 0, 0], ["none", "none"])):
        found = one.at(turn).seen
        assert (found["own_effect_turns"], found["own_restricted_moves"]) == (turns, moves)
        assert (two.at(turn).seen["opp_effect_turns"], two.at(turn).seen["opp_restricted_moves"]) == (turns, moves)


@pytest.mark.parametrize(("field", "nothing", "begin", "value", "end"), [
    ("boosted_stat", "none", "|-start|p1a: A|quarkdrivespe", "spe", "|-end|p1a: A|Quark Drive"),
    ("boosted_stat", "none", "|-start|p1a: A|protosynthesisatk", "atk", "|-end|p1a: A|Protosynthesis"),
    ("fallen_allies", 0, "|-start|p1a: A|fallen3|[silent]", 3, "|-end|p1a: A|fallen3|[silent]"),
    ("added_type", "none", "|-start|p1a: A|typeadd|Ghost|[from] move: Trick-or-Treat", "ghost",
     "|switch|p1a: A|Garchomp, M|100/100"),
])
def test_what_an_effect_says_holds_until_it_ends(field: str, nothing: Any, begin: str, value: Any, end: str) -> None:
    one, two = rows(begin, "|turn|2", end, "|turn|3", FAST)
    for turn, expected in ((1, nothing), (2, value), (3, nothing)):
        assert one.at(turn).seen[f"own_{field}"] == two.at(turn).seen[f"opp_{field}"] == expected


def test_a_substitute_counts_its_hits_and_passes_on_with_baton_pass() -> None:
    hit = "|-activate|p1a: A|move: Substitute|[damage]"
    lines = ["|move|p1a: A|Substitute|p1a: A", "|-start|p1a: A|Substitute", "|-damage|p1a: A|75/100", "|turn|2", SLOW,
             hit, "|turn|3", SLOW, hit, "|move|p1a: A|Baton Pass|p1a: A",
             "|switch|p1a: C|Blissey, F|100/100|[from] Baton Pass", "|turn|4", SLOW, "|-end|p1a: C|Substitute",
             "|turn|5", SLOW]
    one, two = rows(*lines)
    assert [one.at(turn).seen["own_substitute_hits"] for turn in range(1, 6)] == [0, 0, 1, 2, 0]
    assert [two.at(turn).seen["opp_substitute_hits"] for turn in range(1, 6)] == [0, 0, 1, 2, 0]
    assert [two.at(turn).seen["opp_damage_dealt"] for turn in range(1, 4)] == [0, 0, 0]


def test_damage_is_what_moves_took_and_nothing_else() -> None:
    lines = [FAST, "|-damage|p2a: B|60/100", "|-damage|p1a: A|90/100|[from] item: Rocky Helmet|[of] p2a: B", SLOW,
             "|-damage|p1a: A|80/100", "|-damage|p1a: A|70/100", "|-damage|p2a: B|54/100 psn|[from] psn",
             "|turn|2", FAST]
    one, two = rows(*lines)
    for player, field, expected in ((one, "own", 0.4), (one, "opp", 0.2), (two, "own", 0.2), (two, "opp", 0.4)):
        assert player.at(1).seen[f"{field}_damage_dealt"] == 0
        assert player.at(2).seen[f"{field}_damage_dealt"] == pytest.approx(expected)


def test_a_move_used_again_and_again_is_counted_until_another_or_a_switch() -> None:
    other = "|move|p1a: A|Dragon Claw|p2a: B"
    back = "|switch|p1a: A|Garchomp, M|100/100"
    lines = [FAST, "|turn|2", FAST, "|turn|3", other, "|turn|4", back, "|turn|5", FAST]
    one, two = rows(*lines)
    for turn, times, two_moves in ((1, 0, False), (2, 1, False), (3, 2, False), (4, 1, True), (5, 0, False)):
        assert (one.at(turn).seen["own_same_move"], one.at(turn).seen["own_two_moves"]) == (times, two_moves)
        assert (two.at(turn).seen["opp_same_move"], two.at(turn).seen["opp_two_moves"]) == (times, two_moves)


def test_format_generation_and_ratings_are_those_that_the_players_saw() -> None:
    one, two = (view.at(1).seen for view in rows(FAST))
    assert (one["gen"], one["format"], one["own_rating"], one["opp_rating"]) == (9, "ou", 1512, 0)
    assert (two["gen"], two["format"], two["own_rating"], two["opp_rating"]) == (9, "ou", 0, 1512)


@given(st.sampled_from(SINGLES.vocabularies["format"].names or ()), st.integers(1, 9))
def test_a_format_of_any_generation_is_known_by_its_name(name: str, gen: int) -> None:
    assert tier_of(f"gen{gen}{name}") == tier_of(name) == name


def as_rows(of: BattleRecord) -> dict[str, list[dict[str, Any]]]:
    """Per player, every observation."""
    corpus = Corpus()
    corpus.add(first_pass(of).revealed)
    return {line["player"]: [step["observation"] for step in seen(line)["steps"]] for line in convert(of, corpus)}


WITH_REQUESTS = sorted(id_ for id_, battle in battles().items() if battle.get("p1") and battle.get("p2"))


@pytest.mark.parametrize("player", ["p1", "p2"])
def test_what_only_the_opponent_was_told_changes_no_observation(player: str) -> None:
    """The opponent's requests hold its exact HP, stats, items, abilities and moves."""
    compared = 0
    for id_ in WITH_REQUESTS[::2]:
        both = record(id_)
        alone = replace(both, requests={name: asked for name, asked in both.requests.items() if name == player})
        try:
            expected = as_rows(both)
        except SkippedBattle:
            continue
        assert as_rows(alone)[player] == expected[player], id_
        compared += len(expected[player])
    assert compared > 100


def test_own_stats_are_those_of_the_requests() -> None:
    for id_ in WITH_REQUESTS[::5]:
        try:
            exact, filled = as_rows(record(id_)), as_rows(record(id_, requests=False))
        except SkippedBattle:
            continue
        first = battles()[id_]["p1"][0]["request"]
        told = {tuple(mon["stats"].values()) for mon in first["side"]["pokemon"]}
        stats = np.array(exact["p1"][0]["own_stats"]).reshape(6, 6)
        assert {tuple(row) for row in stats[:, 1:].tolist()} - {(0,) * 5} == told, id_
        assert not any(exact["p1"][0]["own_stats_filled"])
        there = [name != "none" for name in filled["p1"][0]["own_species"]]
        assert filled["p1"][0]["own_stats_filled"] == there


def test_every_field_since_version_2_varies_on_battles_of_the_simulator() -> None:
    names = [field.name for field in SINGLES.fields]
    names = names[names.index("gen"):]
    found: dict[str, set[str]] = {name: set() for name in names}
    scripted = [{"id": f"{battle['formatid']}-{battle['id']}", "formatid": battle["formatid"],
                 "log": "\n".join(battle["spectator"])} for battle in recorded()]
    for battle in [*scripted, *(battles()[id_] for id_ in WITH_REQUESTS[::3])]:
        for observation in chain.from_iterable(as_rows(read(battle)).values()):
            for name in names:
                found[name].add(repr(observation[name]))
    above = {f"{side}_{name}" for side in ("own", "opp") for name in ("rating", "added_type", "fallen_allies")}
    assert {name for name, values in found.items() if len(values) < 2} <= above


def test_a_row_has_at_most_1060_bytes() -> None:
    assert row_bytes(SINGLES) <= 1060
