"""What inspect reports about fields: their range, how much of them varies, and why one does not."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from poke_bc.cli.checks import inspect_any
from poke_bc.contract.schema import load_schema
from poke_bc.inspect import Inspection, render
from poke_bc.inspect.report import FieldFacts

STEPS = 6


def observation(turn: int) -> dict[str, Any]:
    """Of generation 9, singles: some fields vary, some in part, some never, some are not there."""
    return {
        "turn": turn, "phase": "turn", "weather": "raindance" if turn > 3 else "none", "terrain": "none",
        "own_gimmick_used": [False, False, False, turn > 2], "own_dynamax_turns": 0, "magic_room": 0,
        "own_species": ["abra", "zubat", *["none"] * 4], "own_level": [100] * 6, "own_status": ["none"] * 6,
        "own_hp": [1 / turn, *[1.0] * 5], "opp_species": ["abra", *["unknown"] * 5], "own_stealth_rock": turn > 5,
        "own_type1": ["fire"] * 6,
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "raw.jsonl"
    steps = [{"observation": observation(turn), "action_type": 0, "action_target": turn % 4}
             for turn in range(1, STEPS + 1)]
    lines = [{"replay_id": f"gen{gen}ou-{gen}", "player": "p1", "gen": gen, "steps": steps} for gen in (9, 7, 6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def found(raw: Path) -> Inspection:
    return inspect_any(raw)


@pytest.fixture(scope="module")
def facts(found: Inspection) -> dict[str, FieldFacts]:
    return {each.name: each for each in found.fields}


def test_every_field_of_the_singles_schema_is_there(facts: dict[str, FieldFacts]) -> None:
    assert list(facts) == [field.name for field in load_schema("singles").fields]


@pytest.mark.parametrize(("name", "varying", "non_default"), [
    ("turn", 1, 1.0), ("own_gimmick_used", 1, 4 / 24), ("own_hp", 1, 1.0), ("own_species", 0, 2 / 6),
    ("weather", 1, 3 / 6), ("opp_species", 0, 1 / 6), ("own_stealth_rock", 1, 1 / 6), ("own_level", 0, 1.0),
])
def test_it_says_how_many_positions_vary_and_how_many_values_say_something(
        facts: dict[str, FieldFacts], name: str, varying: int, non_default: float) -> None:
    assert (facts[name].varying, facts[name].non_default) == (varying, pytest.approx(non_default))


@pytest.mark.parametrize(("name", "note", "why"), [
    ("own_dynamax_turns", "constant", "not in gen 6-7, 9"), ("magic_room", "constant", "never set"),
    ("own_level", "constant", "always 100"), ("terrain", "constant", "never set"),
    ("phase", "constant", "always turn"), ("own_status", "constant", "never set"),
    ("own_type1", "constant", "always fire"), ("own_species", "constant", "always the same"), ("gravity", "absent", ""),
    ("own_gimmick_used", "", ""), ("turn", "", ""),
])
def test_it_says_why_a_field_never_varies(facts: dict[str, FieldFacts], name: str, note: str, why: str) -> None:
    assert (facts[name].note, facts[name].why) == (note, why)


def test_remarks_gather_the_fields_by_reason(found: Inspection) -> None:
    assert found.facts["generations"] == "6-7, 9"
    remark = next(remark for remark in found.remarks if "never vary" in remark)
    assert "own_dynamax_turns (not in gen 6-7, 9)" in remark
    assert "terrain, magic_room, own_status (never set in these battles)" in remark
    assert any(remark.startswith("unknown names (not shown yet") and "83.3% of opp_species" in remark
               for remark in found.remarks)


def test_a_hundred_fields_fit_a_hundred_columns(found: Inspection) -> None:
    console = Console(width=100, record=True, file=StringIO())
    console.print(render(found))
    text = console.export_text()
    assert "…" not in text
    lines = text.splitlines()
    for each in found.fields:
        line = next(line for line in lines if line.split()[:1] == [each.name])
        assert line.rstrip().endswith(each.why or each.note or "%"), line
