"""For any text, however mangled, `decode` gives exactly what the contract's reader gives line by line."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from bad_lines import BAD
from decoding import by_decode, by_hand, small_limits
from hypothesis import given, settings
from hypothesis import strategies as st
from trajectories import FULL, Raw, make_trajectory

from poke_bc.contract.schema import Schema, load_schema, schema_from_dict

BASIC = load_schema("basic")
ODD = schema_from_dict({
    "name": "odd", "version": 1, "vocabulary": {"words": ["a", "b", "ü"]}, "field": [
        {"name": "turn", "kind": "integer", "low": -5, "high": 5},
        {"name": "active_hp", "kind": "number", "low": -1e4, "high": 1e4, "width": 1},
        {"name": "team_hp", "kind": "number", "width": 6, "default": 0.25},
        {"name": "active_status", "kind": "category", "vocab": "words"},
        {"name": "team_status", "kind": "category", "vocab": "words", "width": 6, "default": 1},
        {"name": "opp_team_revealed", "kind": "bits", "width": 6},
        {"name": "own_sticky_web", "kind": "flag"}]}, "here")

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 11),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(
        [0.0, -0.0, 1.0, 3.0, 3.7, 0.1, 1e5, 1e39, 65504.0, 65535, 65536, 2**63, -(2**63), 10**400, 6e-8, 1e-320]
    ),
    st.sampled_from(
        ["", "a", "ü", "none", "observed", "censored", "p1", "p2", "mega", "2024-01-01 00:00:00", "\0", "\ud800", "N"]
    ),
    st.text(max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, min_size=6, max_size=6),
        st.lists(st.booleans(), min_size=10, max_size=10),
        st.dictionaries(st.sampled_from(["a", "b", "turn", "steps", "", "é", "\udc00"]), inner, max_size=3),
    ),
    max_leaves=12,
)
keys = st.one_of(
    st.sampled_from(
        [
            *sorted(FULL),
            "replay_id",
            "player",
            "total_reward",
            "steps",
            "observation",
            "action_type",
            "action_target",
            "reward",
            "done",
            "legal",
            "label",
            "candidates",
            "gimmick",
            "weight",
            "rating",
            "gen",
            "winner",
            "x",
            "y",
        ]
    ),
    st.text(max_size=3),
)


@st.composite
def trajectories(draw: st.DrawFn) -> Raw:
    """A made trajectory with some of its values replaced, added or removed."""
    raw = make_trajectory(draw(st.integers(0, 60)), draw(st.sampled_from(["p1", "p2"])), draw(st.integers(1, 4)),
                          masks=draw(st.sampled_from(["all", "some", "none"])))
    for _ in range(draw(st.integers(0, 3))):
        step = draw(st.sampled_from(raw["steps"])) if isinstance(raw.get("steps"), list) and raw["steps"] else None
        owners = [raw] + ([step] if isinstance(step, dict) else [])
        if isinstance(step, dict) and isinstance(step.get("observation"), dict):
            owners.append(step["observation"])
        owner = draw(st.sampled_from(owners))
        key = draw(st.one_of(st.sampled_from(sorted(owner)), keys) if owner else keys)
        if draw(st.booleans()):
            owner[key] = draw(values)
        else:
            owner.pop(key, None)
    return raw


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """One line of text: a trajectory written in some way, with bytes changed now and then, or something else."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from([each.line for each in BAD.values()]))
    if kind == 1:
        return draw(st.sampled_from([b"", b" ", b"\r", b"\t", b"{}", b"[]", b"}", b"{", b"\0", b'{"a":1}']))
    raw = draw(trajectories()) if kind < 9 else make_trajectory(draw(st.integers(0, 60)))
    text = json.dumps(
        raw, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(", ", ": "), (",", ":")]))
    )
    text = draw(st.sampled_from(REWRITES))(text, Random(draw(st.integers(0, 99))))
    line = text.encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        line = _change_bytes(draw, line)
    return line


def _change_bytes(draw: st.DrawFn, line: bytes) -> bytes:
    at = draw(st.integers(0, len(line)))
    piece = draw(
        st.sampled_from(
            [
                b'"',
                b"\\",
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b":",
                b"0",
                b"-",
                b".",
                b"e5",
                b"\0",
                b"\n",
                b"\r",
                b" ",
                b"\xff",
                b"\xc3",
                b"\xef\xbb\xbf",
                b"N",
                b"NaN",
                b"null",
                b"}{",
                b"}\n{",
                b"\\u0041",
                b"\\ud83d",
                b"\x7f",
                b"\xe2\x80\xa8",
                b"\x1e",
            ]
        )
    )
    removed = draw(st.integers(0, 3))
    return line[:at] + draw(st.sampled_from([piece, b""])) + line[at + removed:]


def _keep(text: str, _: Random) -> str:
    return text


def _escaped_key(text: str, random: Random) -> str:
    """A letter of some key as \\u00XX: the same key."""
    key = random.choice(["turn", "steps", "player", "legal", "team_hp", "reward"])
    return text.replace(f'"{key}"', f'"{key[0]}\\u{ord(key[1]):04x}{key[2:]}"', 1)


def _twice(text: str, random: Random) -> str:
    """Some key twice in its object."""
    key = random.choice(["turn", "replay_id", "reward", "done", "comment"])
    return text.replace(f'"{key}"', f'"{key}": {random.choice(["null", "0", "1.0"])}, "{key}"', 1)


def _numbers(text: str, random: Random) -> str:
    """Numbers written in other ways, some of them no JSON."""
    old, new = random.choice(
        [
            (": 0", ": -0"),
            (": 1", ": 1.0"),
            (": 1,", ": 1e0,"),
            (": 2", ": 2E+0"),
            ("0.", "."),
            (": 3", ": 03"),
            (": 0.0", ": -0.0"),
            (": 1.0", ": 10e-1"),
            ("0.1", "0.1000000000000000055511151231257827"),
            (": 4", ": +4"),
            (": 0,", ": 0x0,"),
            (": 1", ": 1."),
        ]
    )
    return text.replace(old, new, random.choice([1, 100]))


def _two(text: str, random: Random) -> str:
    return text + random.choice(["", " ", "\r", "\t", "\n", "\n\n", "\0"]) + text


def _over_two_lines(text: str, random: Random) -> str:
    at = random.choice([place for place, char in enumerate(text) if char in "{}[],:"] or [0])
    return text[:at] + "\n" + text[at:]


def _white_space(text: str, random: Random) -> str:
    return text.replace(random.choice(["{", "}", ",", "["]), random.choice([" {", "}\t", ",\r", "[ ", "{\f"]))


REWRITES = (_keep, _keep, _keep, _escaped_key, _twice, _numbers, _two, _over_two_lines, _white_space)


@pytest.mark.parametrize("schema", [BASIC, ODD], ids=["basic", "closed vocabularies"])
@settings(max_examples=350)
@given(written=st.lists(lines(), max_size=5), newline=st.sampled_from([b"\n", b"\r\n", b"\n\n"]), last=st.booleans(),
       exact=st.sampled_from([0, 1000, 10**9]), infer=st.sampled_from([500, 10**9]))
def test_decode_gives_what_reading_line_by_line_gives(schema: Schema, written: list[bytes], newline: bytes, last: bool,
                                                     exact: int, infer: int) -> None:
    text = newline.join(written) + (newline if last else b"")
    expected = by_hand(text, schema, 17)
    assert by_decode(text, schema, 17, scanning=True) == expected
    with small_limits(exact, infer):
        assert by_decode(text, schema, 17, scanning=False) == expected


@settings(max_examples=150)
@given(written=st.lists(trajectories().map(lambda raw: json.dumps(raw).encode()), min_size=3, max_size=8),
       place=st.integers(0, 8), spoilt=st.sampled_from(sorted(BAD)))
def test_a_bad_line_among_any_others_changes_nothing_about_them(written: list[bytes], place: int, spoilt: str) -> None:
    without = b"".join(line + b"\n" for line in written)
    written.insert(min(place, len(written)), BAD[spoilt].line)
    with small_limits(600, 3000):
        found, bad = by_decode(b"".join(line + b"\n" for line in written), BASIC)
        clean, bad_before = by_decode(without, BASIC)
    assert {**found, "trajectories": None} == {**clean, "trajectories": None}
    assert len(bad) == len(bad_before) + 1
