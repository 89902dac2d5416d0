"""A policy as a player: what it is shown, what it answers, and that others can put it into a bot of their own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from command_line import REPOSITORY
from random_players import random_battles
from test_readme import blocks

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from poke_bc.contract.actions import GIMMICKS
from poke_bc.contract.errors import InputError, RunError, UsageError
from poke_bc.contract.schema import load_schema
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.play.pack import ObservationPacker
from poke_bc.play.player import Player, default_gimmick
from poke_bc.policy import Policy, create_policy
from poke_bc.policy.store import save_policy
from poke_bc.showdown.asked import Asked
from poke_bc.showdown.seat import Seat, estimate

SMALL = {"width": 16, "embedding": 4, "layers": 1, "heads": 2}
Battle = dict[str, Any]


def small(network: str = "entity", **options: Any) -> Policy:
    torch.manual_seed(5)
    return create_policy(network, load_schema("singles"), **SMALL, **options).eval()


def battle(gen: int, number: int = 0) -> Battle:
    found = [json.loads(line) for line in random_battles() if f'"gen{gen}random' in line[:200]]
    chosen: Battle = found[number]
    return chosen


def requests(played: Battle, player: str) -> list[tuple[list[str], str]]:
    """(all lines so far, request) of every decision."""
    return [(played["spectator"][:entry["after_line"]], json.dumps(entry["request"])) for entry in played[player]]


def shard_rows(policy: Policy, played: Battle, folder: Path) -> ShardDataset:
    (folder / "battle.jsonl").write_text(json.dumps(played))
    convert_battles([str(folder / "battle.jsonl")], folder / "raw.jsonl", workers=1, salt="s")
    preprocess([folder / "raw.jsonl"], folder / "shards", workers=1)
    return ShardDataset(folder / "shards", columns=("category", "number", "legal"), steps=policy.steps,
                        every_row=True)


@pytest.mark.parametrize(("network", "gen"), [("entity", 7), ("history", 9)])
def test_the_network_reads_live_what_the_shard_holds(network: str, gen: int, tmp_path: Path) -> None:
    """Bit by bit, with the decisions before for a network that reads those."""
    policy, played = small(network), battle(gen)
    rows = shard_rows(policy, played, tmp_path)
    read: list[Any] = []
    policy.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].clone()))
    place = 0
    for player in ("p1", "p2"):
        chair, at = Player(policy).sit(player, played["format"], "s"), 0
        for entry in played[player]:
            chair.see(played["spectator"][at:entry["after_line"]])
            at = entry["after_line"]
            if not chair.ask(json.dumps(entry["request"])):
                continue
            Player(policy).answer([chair])
            if entry.get("rejected"):
                continue
            stored = rows.batch(np.array([place]))
            live = read[-1]
            assert torch.equal(live.category, stored.category), (player, place)
            assert torch.equal(live.number, stored.number)
            assert torch.equal(live.legal, stored.legal)
            if policy.steps is not None:
                assert torch.equal(live.is_pad, stored.is_pad)
            place += 1
    assert place == len(rows) > 20


def test_observations_are_packed_as_the_schema_packs_them() -> None:
    played, seat, at = battle(9), Seat(), 0
    asked: list[Asked] = []
    for entry in played["p2"]:
        seat.see(played["spectator"][at:entry["after_line"]])
        at = entry["after_line"]
        if (each := seat.ask(entry["request"])) is not None:
            asked.append(each)
    estimate(asked)
    schema = load_schema("singles")
    legal = [each.legal for each in asked]
    packed = ObservationPacker(schema).batch([each.observation for each in asked], legal)
    checked = Batch.from_observations(schema, [msgspec.to_builtins(each.observation) for each in asked], legal)
    for name, column in checked.tensors().items():
        assert torch.equal(packed.tensors()[name], column), name


def test_what_is_frozen_for_play_changes_nothing_and_training_thaws_it() -> None:
    policy, played = small(), battle(9)
    lines, request = requests(played, "p1")[5]
    seat = Seat()
    seat.see(lines)
    asked = seat.ask(request)
    assert asked is not None
    estimate([asked])
    batch = ObservationPacker(policy.schema).batch([asked.observation], [asked.legal])
    before = policy(batch).logits
    policy.ids.freeze()
    assert torch.equal(policy(batch).logits, before)
    policy.train()
    with torch.no_grad():
        policy.ids.table.weight += 1
    assert not torch.equal(policy.eval()(batch).logits, before)


def test_answers_are_legal_and_the_same_for_lines_that_grow_and_for_battles_in_turns() -> None:
    one, two = battle(8), battle(9)
    player, again = Player(small(gimmick_head=True), greedy=True), Player(small(gimmick_head=True), greedy=True)
    alone = [[again.choose(request, lines) for lines, request in requests(each, side)]
             for each in (one, two) for side in ("p1", "p2")]
    turns: list[list[str]] = [[], [], [], []]
    waiting = [requests(each, side) for each in (one, two) for side in ("p1", "p2")]
    while any(waiting):
        for place, each in enumerate(waiting):
            if each:
                lines, request = each.pop(0)
                turns[place].append(player.choose(json.loads(request), lines))
    assert turns == alone
    assert all(re.fullmatch(r"/choose (move [1-4]( \w+)?|switch [1-6]|team \d)", answer)
               for answers in alone for answer in answers)
    fresh = Player(small(gimmick_head=True), greedy=True)
    from_the_middle = fresh.choose(requests(two, "p1")[-1][1], requests(two, "p1")[-1][0])
    assert without_gimmick(from_the_middle) == without_gimmick(alone[2][-1])


def without_gimmick(answer: str) -> str:
    """It is drawn, also by a greedy player."""
    return " ".join(answer.split()[:3])


def test_gimmicks_are_drawn_also_by_a_greedy_player() -> None:
    player = Player(small(gimmick_head=True), greedy=True)
    answers = [player.choose(request, lines) for side in ("p1", "p2") for lines, request in requests(battle(9), side)
               if '"canTerastallize"' in request]
    assert {answer.endswith("terastallize") for answer in answers if "move" in answer} == {True, False}


def test_what_is_drawn_depends_on_seed_and_temperature() -> None:
    played = battle(9)

    def answers(**options: Any) -> list[str]:
        player = Player(small(), **options)
        return [without_gimmick(player.choose(request, lines)) for lines, request in requests(played, "p1")]

    assert answers(seed=1) == answers(seed=1) != answers(seed=2)
    assert answers(seed=1, temperature=1e-12) == answers(seed=2, temperature=1e-12) == answers(greedy=True)


def test_without_a_gimmick_head_the_default_is_as_documented() -> None:
    """A mega evolution at once; the others with a move that takes half of the opponent's HP."""
    used = set()
    for gen in (6, 7, 8, 9):
        for played in (battle(gen, number) for number in range(4)):
            seat, at = Seat(), 0
            for entry in played["p1"]:
                seat.see(played["spectator"][at:entry["after_line"]])
                at = entry["after_line"]
                asked = seat.ask(entry["request"])
                assert asked is not None
                estimate([asked])
                for slot in range(4):
                    if asked.legal[slot] and any((ways := asked.ways(slot))[1:]):
                        gimmick, hurts = default_gimmick(asked, slot, ways), asked.observation.own_move_damage[slot]
                        assert ways[GIMMICKS.index(gimmick)]
                        assert gimmick == "mega" if ways[1] else (gimmick != "none") == (hurts >= 0.5 or not ways[0])
                        used.add(gimmick)
    assert used >= {"none", "mega", "dynamax", "tera"}


def test_a_request_that_only_says_to_wait_gets_no_answer() -> None:
    assert Player(small()).choose({"wait": True, "side": {"id": "p2", "name": "x", "pokemon": []}}, ["|gen|9"]) == ""


def test_what_cannot_be_followed_is_an_input_error() -> None:
    lines, request = requests(battle(9), "p1")[3]
    player = Player(small())
    for bad_lines, bad_request in ((lines, "{"), (["|gen|9", "|gametype|doubles"], request), (lines, '{"side": 3}'),
                                   ([*lines, "|unheardof|x"], request)):
        with pytest.raises(InputError, match="cannot be followed"):
            player.choose(bad_request, bad_lines)
    assert player.choose(request, lines).startswith("/choose ")


def test_a_policy_of_another_schema_and_a_wrong_temperature_are_refused() -> None:
    with pytest.raises(RunError, match="live play does not make"):
        Player(create_policy("mlp", load_schema("basic"), width=16, blocks=1))
    with pytest.raises(UsageError, match="temperature"):
        Player(small(), temperature=0)


def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs" / "play.md").read_text("utf-8")
    (code,) = [block.text for block in blocks(page) if block.is_python]
    save_policy(small(gimmick_head=True), tmp_path / "runs" / "bc" / "policy")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, os.fspath(REPOSITORY / "docs" / "play.md"), "exec"), names)
    lines, request = requests(battle(9), "p1")[-1]
    assert re.fullmatch(r"/choose (move [1-4]( \w+)?|switch [1-6])", names["on_request"](request, lines))
