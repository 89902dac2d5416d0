"""A block of lines -> rows: malformed lines are named, good rows do not notice, clean text takes the fast way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from bad_lines import BAD, LINE, LONG, good
from command_line import run_python
from decoding import by_decode, by_hand, plain, small_limits
from trajectories import Raw, make_trajectories, make_trajectory, to_line, to_text

from pipelines.decode import decode
from pipelines.decode.arrow_json import decode_with_arrow
from pipelines.decode.columns import NotSure
from pipelines.preprocess.text_blocks import text_blocks
from poke_bc.contract.schema import Schema, load_schema, schema_from_dict

BASIC = load_schema("basic")
GOOD = [to_line(raw) for raw in make_trajectories(6)]
CLEAN = {**by_hand(b"".join(line + b"\n" for line in GOOD), BASIC)[0], "trajectories": None}
"""All that the good lines give but the table with their line numbers."""
START = 1_000_000
"""Where the block begins in its source."""


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def only_fast(text: bytes, schema: Schema = BASIC) -> dict[str, Any]:
    """What both fast readers give, without any help from the exact one."""
    not_sure = AssertionError("a fast reader was not sure")
    with (
        mock.patch("pipelines.decode.decoder.decode_exact", side_effect=not_sure),
        mock.patch("pipelines.decode.scan.scanner.decode_exact", side_effect=not_sure),
    ):
        found, bad = by_decode(text, schema, scanning=False)
        assert by_decode(text, schema, scanning=True) == (found, bad)
    assert bad == []
    return found


@pytest.mark.parametrize("place", [0, 6, 12], ids=["first", "middle", "last"])
@pytest.mark.parametrize("name", BAD)
def test_a_malformed_line_is_named_and_all_other_rows_stay_as_they_were(name: str, place: int) -> None:
    lines = [*GOOD[:place], BAD[name].line, *GOOD[place:]]
    with small_limits(exact=4000):
        found, bad = by_decode(joined(lines), BASIC, START)
    assert {**found, "trajectories": None} == CLEAN
    assert len(bad) == 1
    assert (bad[0].line, bad[0].byte, bad[0].path) == (place, START + len(joined(GOOD[:place])), BAD[name].path)
    assert BAD[name].reason in bad[0].reason


def test_many_malformed_lines_are_all_named_in_order() -> None:
    lines = [line for name, clean in zip(BAD, GOOD * 10, strict=False) for line in (BAD[name].line, clean)]
    with small_limits():
        found, bad = by_decode(joined(lines), BASIC, START)
    assert [(each.line, each.path) for each in bad] == [
        (2 * place, each.path) for place, each in enumerate(BAD.values())
    ]
    assert found["action"] == by_hand(joined(lines[1::2]), BASIC)[0]["action"]


@pytest.mark.parametrize("place", [0, 6, 12], ids=["first", "middle", "last"])
def test_a_line_longer_than_a_block_is_named_and_all_other_rows_stay_as_they_were(tmp_path: Path, place: int) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_bytes(joined([*GOOD[:place], LONG, *GOOD[place:]]))
    rows, bad = b"", []
    for block in text_blocks(str(path), max(map(len, GOOD))):
        decoded, named = decode(block.read(), BASIC)
        rows += decoded.rows["number"].tobytes()
        bad += named
    assert rows == by_hand(joined(GOOD), BASIC)[0]["number"][2]
    assert [(each.byte, each.path) for each in bad] == [(len(joined(GOOD[:place])), "$")]
    assert "longer than a block" in bad[0].reason


@pytest.mark.parametrize(
    "text",
    [
        joined(GOOD).replace(b"\n", b"\r\n"),
        b"\n\n" + joined(GOOD).replace(b"\n", b"\n\n"),
        joined(GOOD)[:-1],
        joined(GOOD) + b"\n\n",
        b"\r\n" + joined(GOOD).replace(b"\n", b"\r\n\r\n"),
        joined(GOOD).replace(b"\n", b"\r\n")[:-2],
    ],
    ids=["CRLF", "blank lines", "no last newline", "blank lines at the end", "blank CRLF lines", "no last CRLF"],
)
def test_line_ends_of_any_sort_are_fine_and_fast(text: bytes) -> None:
    found = only_fast(text)
    assert {**found, "trajectories": None} == CLEAN


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \r", b"  \t "])
def test_lines_of_white_space_are_blank_lines(blank: bytes) -> None:
    found, bad = by_decode(joined([blank, *GOOD, blank]), BASIC)
    assert bad == []
    assert found["category"] == by_hand(joined(GOOD), BASIC)[0]["category"]


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\n"])
def test_a_text_without_lines_has_no_rows_and_nothing_bad(text: bytes) -> None:
    found, bad = by_decode(text, BASIC)
    assert (found["action"], found["trajectories"], bad) == (("int8", (0,), b""), "[]", [])


def test_clean_text_never_goes_line_by_line() -> None:
    for masks in ("all", "some", "none"):
        text = to_text(make_trajectories(20, masks=masks))
        assert only_fast(text) == by_hand(text, BASIC)[0]


def test_unknown_keys_in_a_long_text_are_learned_from_its_first_lines() -> None:
    raws = make_trajectories(30)
    for number, raw in enumerate(raws):
        raw["mixed"] = number if number < 20 else number + 0.5
        raw["when"] = "2024-01-01" if number < 20 else "yesterday"
        raw["nothing"] = [None, None, []]
        raw["source"] = {"tags": ["a"]}
        for step in raw["steps"]:
            step["comment"] = "said"
            step["observation"] |= {"mood": 1 + number / 2, "deep": {"list": [{"a": number}], "nothing": [None]}}
    with small_limits(infer=20_000):
        assert plain(decode_with_arrow(to_text(raws), 0, BASIC)) == by_hand(to_text(raws), BASIC)[0]
        raws[-1]["new"] = 1
        with pytest.raises(NotSure):
            decode_with_arrow(to_text(raws), 0, BASIC)
        assert only_fast(to_text(raws)) == by_hand(to_text(raws), BASIC)[0]


def both_ways(*raws: Raw) -> dict[str, Any]:
    """What the fast reader gives, once the exact one has given the same."""
    found = plain(decode_with_arrow(to_text(raws), 0, BASIC))
    assert found == by_hand(to_text(raws), BASIC)[0]
    return found


def test_a_missing_total_reward_is_the_exact_sum_both_ways() -> None:
    raw = good() | {"total_reward": None}
    raw["steps"] = [*raw["steps"][:1], *[raw["steps"][1]] * 9]
    for step in raw["steps"]:
        step["reward"] = 0.1
    assert "'total_reward': 1.0," in both_ways(raw, good())["trajectories"]


def test_minus_zero_is_zero_both_ways() -> None:
    zeros = good() | {"total_reward": -0.0, "rating": -0.0}
    zeros["steps"][1] |= {"reward": -0.0, "weight": -0.0}
    zeros["steps"][1]["observation"] |= {"active_hp": -0.0, "team_hp": [-0.0] * 6}
    found = both_ways(zeros)
    assert "-0.0" not in found["trajectories"]
    for column in ("number", "reward", "weight", "return"):
        kind, shape, content = found[column]
        assert not np.signbit(np.frombuffer(content, kind).reshape(shape)).any(), column


def test_candidates_of_a_choice_that_was_seen_are_left_out_both_ways() -> None:
    seen, hidden = good(), good()
    seen["steps"][1]["candidates"] = [True] * 10
    hidden["steps"][1] |= {"candidates": [True] * 10, "label": "censored"}
    assert np.frombuffer(both_ways(seen, hidden)["candidates"][2], np.uint16).tolist() == [0, 0, 0, 0, 1023, 0]


def test_fields_and_keys_that_are_never_there_are_not_counted_both_ways() -> None:
    raw = good() | {"never": None}
    for step in raw["steps"]:
        step["observation"] = {"turn": 1, "active_hp": None}
    found = both_ways(raw)
    assert (found["present"], found["unknown"]) == ({"turn": 3}, {})


def test_a_name_with_brackets_or_capitals_does_not_cost_the_fast_way() -> None:
    raws = [make_trajectory(battle) | {"winner": name, "format": "[Gen 9] OU"}
            for battle, name in enumerate(["Nina", "Infinity", "NaN", "]]}}", "[[[[[[", '"N"', "\\", '\\"[', "Iñaki"])]
    assert only_fast(to_text(raws)) == by_hand(to_text(raws), BASIC)[0]


def test_keys_that_are_names_do_not_fill_the_memory() -> None:
    """Inferred in one piece, these 3 MB made 12,000 columns of 12,000 rows: 2.5 GB."""
    code = (
        "import json, pathlib, re, sys\n"
        "from pipelines.decode import Text, decode\n"
        "from poke_bc.contract.schema import load_schema\n"
        "line = json.loads(sys.argv[1])\n"
        "text = b'\\n'.join(json.dumps(line | {'log': {f'name {n}': n}}).encode() for n in range(6000))\n"
        "decoded, bad = decode(Text(text, 0), load_schema('basic'))\n"
        "assert decoded.trajectories.num_rows == 6000 and not list(bad) and dict(decoded.unknown) == {'$.log': 6000}\n"
        # not ru_maxrss: it starts from the peak of the process that started this one
        "print(re.search(r'VmHWM:\\s*(\\d+)', pathlib.Path('/proc/self/status').read_text()).group(1))"
    )
    done = run_python(code, LINE.decode())
    assert done.code == 0, done.stderr
    assert int(done.stdout) < 400_000  # KB


NESTS = {"brackets": ("[", "]"), "brackets and spaces": (" [ ", " ] "), "objects": ('{"a":', "}"),
         "objects and spaces": ('{ "a" : ', " }"), "both": ('[{"a":', "}]"), "both, other way round": ('{"a":[', "]}"),
         "beside closed ones": ("[[],", "]"), "beside brackets in names": ('["]",', "]"),
         "beside escaped quotes": ('["\\"]\\"",', "]"), "never closed": ("[", "")}


def test_nesting_without_end_is_a_bad_line_not_the_end_of_the_process() -> None:
    code = ("import sys\nfrom pipelines.decode import Text, decode\n"
            "from poke_bc.contract.schema import load_schema\n"
            "good = sys.argv[1].encode()\n"
            "for opening, closing in zip(sys.argv[2::2], sys.argv[3::2], strict=True):\n"
            "    for key in ('winner', 'turn', 'own_spikes', 'done'):\n"
            "        deep = (opening * 100_000 + '1' + closing * 100_000).encode()\n"
            "        line = good.replace(b'\"%s\"' % key.encode(), b'\"x\": ' + deep + b', \"%s\"' % key.encode(), 1)\n"
            "        decoded, bad = decode(Text(good + b'\\n' + line + b'\\n' + good, 0), load_schema('basic'))\n"
            "        assert decoded.trajectories.num_rows == 2\n"
            "        print([(each.line, each.path, each.reason) for each in bad])\n")
    done = run_python(code, LINE.decode(), *(text for pair in NESTS.values() for text in pair))
    assert done.code == 0, (done.code, done.stderr)
    assert done.stdout.splitlines() == [repr([(1, "$", "nested deeper than 64")])] * 4 * len(NESTS)


NAMES = schema_from_dict(
    {
        "name": "names",
        "version": 1,
        "vocabulary": {"species": ["abra", "mr-mime", "flabébé"]},
        "field": [
            {"name": "own", "kind": "category", "vocab": "species", "width": 3, "default": 1},
            {"name": "other", "kind": "category", "vocab": "species"},
            {"name": "team", "kind": "category", "vocab": "teams"},
        ],
    },
    "here",
)


def names_line(own: object, other: object) -> bytes:
    step = {"observation": {"own": own, "other": other, "team": 9}, "action_type": 0, "action_target": 0}
    return json.dumps({"replay_id": "a", "player": "p1", "steps": [step]}, ensure_ascii=False).encode()


def test_names_become_ids_both_ways() -> None:
    text = joined(
        [names_line(["abra", "none", "mew"], "flabébé"), names_line(None, None), names_line(["", "", "abra"], "")]
    )
    expected = [[2, 1, 0, 4, 9], [1, 1, 1, 0, 9], [0, 0, 2, 0, 9]]
    fast = only_fast(text, NAMES)
    assert np.frombuffer(fast["category"][2], np.uint16).reshape(-1, 5).tolist() == expected
    assert "number" not in fast
    assert fast == by_hand(text, NAMES)[0]


@pytest.mark.parametrize(
    ("own", "path"), [(["abra", 1, "mew"], "own[1]"), (["abra"], "own"), ("abra", "own"), ([None] * 3, "own[0]")]
)
def test_what_is_no_name_makes_the_line_bad_both_ways(own: object, path: str) -> None:
    text = joined([names_line(["abra"] * 3, "abra"), names_line(own, "abra")])
    assert by_decode(text, NAMES) == by_hand(text, NAMES)
    assert [(each.line, each.path) for each in by_decode(text, NAMES)[1]] == [(1, f"$.steps[0].observation.{path}")]
