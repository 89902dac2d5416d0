"""The grader of conversions finds nothing wrong in perfect trajectories, and exactly what was made wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from battles_at import battles
from truth.decisions import Decision, decisions
from truth.grade import grade, main
from truth.leaks import Shown
from truth.names import closeness, condition, pair_up, same, toid
from truth.own_view import VOLATILE_FLAGS
from truth.players_stream import Board
from truth.shown import GIMMICKS, LAYERS, ROOMS, SIDE_CONDITIONS, STATS

Step = dict[str, Any]
Battle = tuple[dict[str, Any], list[dict[str, Any]]]
BATTLES = ("gen1randombattle-100000", "gen4randombattle-400000", "gen7randombattle_team_preview-1700001",
           "gen8randombattle-800000", "gen9randombattle-900000", "gen9randombattle_team_preview-1900001")


def perfect_step(truth: Decision) -> Step:
    """The row that says exactly what was true: the own team in the order of its names, the opponent as it appeared."""
    board = truth.board
    own = sorted(truth.own, key=lambda mon: (toid(mon.species), mon.name))
    opponent = board.sides[truth.opponent].team
    seen: dict[str, Any] = {"turn": truth.turn, "phase": truth.phase, "weather": board.weather,
                            "weather_turns": board.age(board.weather_since), "terrain": board.terrain,
                            "terrain_turns": board.age(board.terrain_since)}
    seen |= {name: board.age(board.rooms[name]) if name in board.rooms else 0 for name in ROOMS.values()}
    for who, player in (("own", truth.player), ("opp", truth.opponent)):
        side = board.sides[player]
        for name in SIDE_CONDITIONS.values():
            tied = side.since.get("volatile " + name.replace("_", ""), 0) if board.gen == 1 else 0
            seen[f"{who}_{name}"] = (side.layers.get(name, 0) if name in LAYERS
                                     else board.age(tied) if tied else board.side_age(player, name))
        since = side.dynamaxed_in
        seen[f"{who}_dynamax_turns"] = 0 if since is None else max(1, board.turn - since)
        seen[f"{who}_gimmick_used"] = [name in side.gimmicks for name in GIMMICKS]
        seen[f"{who}_boosts"] = [side.boosts.get(stat, 0) for stat in STATS]
        transformed = bool(side.active and side.active.transformed_into)
        seen[f"{who}_volatiles"] = [name in side.volatiles or (name == "transform" and transformed)
                                    for name in VOLATILE_FLAGS]
    active = truth.request["active"][0] if truth.phase == "turn" else {}
    seen["own_can_gimmick"] = [any(active.get(word) for word in words) for words in (
        ("canMegaEvo", "canUltraBurst"), ("canZMove",), ("canDynamax",), ("canTerastallize",))]
    moves = [sorted(toid(move) for move in mon.moves) + ["none"] * (4 - len(mon.moves)) for mon in own]
    used = [[next((n for key, n in truth.pp_used.items() if mon.active and same(move, key)), 0)
             for move in row] for mon, row in zip(own, moves, strict=True)]
    seen |= {
        "own_species": [toid(mon.species) for mon in own], "own_hp": [mon.hp for mon in own],
        "own_status": [mon.status for mon in own], "own_active": [mon.active for mon in own],
        "own_fainted": [mon.fainted for mon in own], "own_level": [mon.level for mon in own],
        "own_terastallized": [mon.terastallized for mon in own], "own_tera": [mon.tera for mon in own],
        "own_item": [mon.item for mon in own], "own_ability": [mon.ability for mon in own],
        "own_moves": [move for row in moves for move in row], "own_pp_used": [n for row in used for n in row],
        "own_alive": sum(not mon.fainted for mon in own),
        "opp_alive": board.sides[truth.opponent].size - sum(mon.fainted for mon in opponent),
    }
    seen |= opponent_fields(opponent, board)
    legal = [False] * 10
    slot = next((i for i, mon in enumerate(own) if mon.active), 0)
    for i, move in enumerate(moves[slot]):
        legal[i] = any(same(move, name) for name in truth.legal_moves | truth.gimmick_moves)
    for i, mon in enumerate(own):
        legal[4 + i] = mon in truth.legal_switches
    action = (4 + next(i for i, mon in enumerate(own) if mon.species == truth.name) if truth.kind == "switch"
              else next((i for i, move in enumerate(moves[slot]) if same(move, truth.name)), 0))
    legal[action] = True  # Struggle and recharge have no slot of their name
    return {"observation": seen, "action_type": int(action >= 4), "action_target": action - 4 * (action >= 4),
            "legal": legal, "label": "observed", "gimmick": truth.gimmick or "none"}


def opponent_fields(team: list[Shown], board: Board) -> dict[str, Any]:
    shown = [*team, *[None] * (6 - len(team))]
    active = [mon is not None and any(mon is side.active for side in board.sides.values()) for mon in shown]
    moves = [(mon.moves[:4] if mon else []) for mon in shown]
    return {
        "opp_species": [toid(mon.formes[-1]) if mon else "unknown" for mon in shown],
        "opp_hp": [mon.hp if mon else 1.0 for mon in shown],
        "opp_status": [mon.status if mon else "none" for mon in shown],
        "opp_fainted": [bool(mon and mon.fainted) for mon in shown], "opp_active": active,
        "opp_level": [mon.level if mon else 100 for mon in shown],
        "opp_item": ["unknown"] * 6, "opp_last_item": ["none"] * 6, "opp_ability": ["unknown"] * 6,
        "opp_tera": [toid(mon.tera) if mon and mon.tera_used else "unknown" for mon in shown],
        "opp_moves": [move for row in moves for move in row + ["unknown"] * (4 - len(row))],
    }


def perfect(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"replay_id": record["id"], "player": player,
             "steps": [perfect_step(truth) for truth in decisions(record, player)]} for player in ("p1", "p2")]


@pytest.fixture(scope="module")
def battle() -> Battle:
    record = battles()["gen9randombattle-900000"]
    return record, perfect(record)


@pytest.mark.parametrize("id_", BATTLES)
def test_perfect_trajectories_are_right_in_every_field(id_: str) -> None:
    record = battles()[id_]
    for exact in (True, False):
        tally = grade(record, perfect(record), exact=exact)
        assert not tally.wrong, tally.table(show=3)
        assert tally.compared["covered"] > 25
        assert tally.compared["own_hp"] > 100


def corrupted(battle: Battle, change: Callable[[Step], bool]) -> set[str]:
    """Change the first step that `change` accepts; the fields that grading then finds wrong."""
    record, trajectories = battle
    spoilt = copy.deepcopy(trajectories)
    assert any(change(step) for trajectory in spoilt for step in trajectory["steps"])
    return set(grade(record, spoilt, exact=True).wrong)


def test_a_wrong_boost_is_found(battle: Battle) -> None:
    def change(step: Step) -> bool:
        step["observation"]["own_boosts"][2] += 1
        return step["observation"]["phase"] == "turn"

    assert corrupted(battle, change) == {"own_boosts"}


def test_wrong_hit_points_are_found(battle: Battle) -> None:
    def own(step: Step) -> bool:
        step["observation"]["own_hp"][5] -= 0.02
        return True

    def opponent(step: Step) -> bool:
        step["observation"]["opp_hp"][0] -= 0.02
        return True

    assert corrupted(battle, own) == {"own_hp"}
    assert corrupted(battle, opponent) == {"opp_hp"}


def test_a_move_known_before_it_was_shown_is_a_leak(battle: Battle) -> None:
    _, trajectories = battle
    last = trajectories[0]["steps"][-1]["observation"]

    def change(step: Step) -> bool:
        seen = step["observation"]
        for slot, move in enumerate(seen["opp_moves"]):
            same_mon = seen["opp_species"][slot // 4] == last["opp_species"][slot // 4]
            if same_mon and move == "unknown" and last["opp_moves"][slot] != "unknown":
                seen["opp_moves"][slot] = last["opp_moves"][slot]
                return True
        return False

    assert corrupted(battle, change) == {"leak.opp_moves"}


@pytest.mark.parametrize(("field", "value"), [("opp_item", "choicescarf"), ("opp_ability", "wonderguard"),
                                              ("opp_tera", "stellar"), ("opp_last_item", "choicescarf")])
def test_what_no_line_told_is_a_leak(battle: Battle, field: str, value: str) -> None:
    def change(step: Step) -> bool:
        step["observation"][field][0] = value
        return True

    assert corrupted(battle, change) == {f"leak.{field}"}


def test_a_pokemon_known_before_it_came_in_is_a_leak(battle: Battle) -> None:
    def change(step: Step) -> bool:
        step["observation"]["opp_species"][5] = "mew"
        return True

    assert corrupted(battle, change) == {"leak.opp_species"}


def test_a_legal_action_masked_out_is_found(battle: Battle) -> None:
    def close(step: Step) -> bool:
        action = step["action_target"] + 4 * step["action_type"]
        slot = next((i for i in range(4) if step["legal"][i] and i != action), None)
        if slot is None:
            return False
        step["legal"][slot] = False
        return True

    def open_(step: Step) -> bool:
        active = step["observation"]["own_active"].index(True) if True in step["observation"]["own_active"] else 0
        step["legal"][4 + active] = True
        return True

    assert corrupted(battle, close) == {"legal.move: legal marked illegal"}
    assert corrupted(battle, open_) == {"legal.switch: illegal marked legal"}


def test_a_wrong_label_and_a_hidden_one_are_found(battle: Battle) -> None:
    def wrong(step: Step) -> bool:
        if step["action_type"]:
            return False
        step["action_target"] = next(i for i in range(4) if i != step["action_target"] and step["legal"][i])
        return True

    def censored(step: Step) -> bool:
        step.update(label="censored", candidates=[False] * 10)
        return True

    assert corrupted(battle, wrong) == {"label.move"}
    assert corrupted(battle, censored) == {"label is observed", "candidates hold the truth"}


def test_a_missing_row_and_an_invented_one_are_found(battle: Battle) -> None:
    record, trajectories = battle
    fewer, more = copy.deepcopy(trajectories), copy.deepcopy(trajectories)
    del fewer[0]["steps"][-1]
    more[1]["steps"].append(copy.deepcopy(more[1]["steps"][-1]))
    assert set(grade(record, fewer).wrong) == {"covered"}
    assert set(grade(record, more).wrong) == {"row without a choice"}
    assert set(grade(record, trajectories[:1]).wrong) == {"view"}


def test_the_command_prints_a_table(
    battle: Battle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, trajectories = battle
    records, converted = tmp_path / "records.jsonl", tmp_path / "raw.jsonl"
    records.write_text(json.dumps(record) + "\n")
    converted.write_text("".join(json.dumps(trajectory) + "\n" for trajectory in trajectories))
    assert main([str(records), str(converted), "--exact"]) == 0
    assert "own_boosts" in capsys.readouterr().out
    trajectories[0]["steps"][3]["observation"]["weather"] = "hail"
    converted.write_text("".join(json.dumps(trajectory) + "\n" for trajectory in trajectories))
    assert main([str(records), str(converted), "--exact", "--show", "2"]) == 1
    assert "expected none, got hail" in capsys.readouterr().out
    trajectories[0]["steps"][3]["observation"]["weather"] = "none"


def test_boosts_follow_every_kind_of_line() -> None:
    board = Board()
    for line in ("|switch|p1a: A|Mew|100/100", "|switch|p2a: B|Ditto|100/100", "|-boost|p1a: A|atk|2",
                 "|-unboost|p1a: A|spe|1", "|-swapboost|p1a: A|p2a: B|atk, spe", "|-copyboost|p1a: A|p2a: B",
                 "|-invertboost|p2a: B", "|-setboost|p1a: A|def|6", "|-clearpositiveboost|p1a: A|p2a: B"):
        board.read(line)
    assert board.sides["p1"].boosts == {"spe": -1}
    assert board.sides["p2"].boosts == {"atk": -2, "spe": 1}
    board.read("|switch|p1a: C|Mewtwo|100/100|[from] Baton Pass")
    assert board.sides["p1"].boosts == {"spe": -1}
    board.read("|drag|p1a: A|Mew|100/100")
    assert board.sides["p1"].boosts == {}


def test_illusion_gives_back_what_the_disguise_seemed_to_do() -> None:
    board = Board()
    for line in ("|switch|p2a: Mew|Mew|100/100", "|move|p2a: Mew|Psychic|p1a: X", "|-damage|p2a: Mew|60/100",
                 "|switch|p2a: Xatu|Xatu|100/100", "|switch|p2a: Mew|Mew|80/100", "|move|p2a: Mew|Dark Pulse|p1a: X",
                 "|-damage|p2a: Mew|30/100 brn", "|replace|p2a: Zed|Zoroark|"):
        board.read(line)
    mew, _, zoroark = board.sides["p2"].team
    assert (mew.hp, mew.status, zoroark.hp, zoroark.status) == (0.6, "none", 0.3, "brn")
    assert zoroark.moves == ["darkpulse"]
    assert not mew.uncertain


def test_a_disguise_that_had_terastallized_earlier_leaves_the_other_as_it_was() -> None:
    board = Board()
    for line in ("|switch|p2a: Mew|Mew|100/100", "|-terastallize|p2a: Mew|Dark", "|switch|p2a: Xatu|Xatu|100/100",
                 "|switch|p2a: Mew|Mew|80/100", "|replace|p2a: Zed|Zoroark|"):
        board.read(line)
    mew, _, zoroark = board.sides["p2"].team
    assert (mew.tera_used, mew.tera, zoroark.tera_used) == (True, "Dark", False)


def test_court_change_swaps_the_sides() -> None:
    board = Board()
    for line in ("|turn|3", "|-sidestart|p1: Ash|Spikes", "|-sidestart|p1: Ash|Spikes",
                 "|-sidestart|p2: Gary|move: Reflect", "|-swapsideconditions", "|upkeep", "|turn|4",
                 "|turn|5"):
        board.read(line)
    assert board.sides["p2"].layers["spikes"] == 2
    assert (board.side_age("p1", "reflect"), board.side_age("p2", "reflect")) == (2, 0)


def test_names_are_matched_by_forme_and_beginning() -> None:
    assert same("hiddenpowerice60", "hiddenpower")
    assert not same("thunder", "thunderbolt")
    assert pair_up(["mew", "mewtwo"], [["Mewtwo"], ["Mew"]]) == {0: 1, 1: 0}
    assert closeness("miniormeteor", "Minior-Violet") == 1
    assert closeness("genesectdouse", "Genesect-*") == 2
    assert condition("57/228 par") == (0.25, "par", False)
    assert condition("0 fnt") == (0.0, "none", True)
