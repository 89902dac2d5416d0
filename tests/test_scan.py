"""The scanning reader: what its kernel understands, and that what it does not goes to the exact reader."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import pytest
from bad_lines import BAD
from command_line import REPOSITORY, environment
from decoding import by_decode, by_hand, plain, scanner
from fuzz_texts import SCHEMAS, Mutator, read_corpus, seeds
from hypothesis import given
from hypothesis import strategies as st
from trajectories import Raw, make_trajectories, make_trajectory, to_line, to_text

from pipelines.decode import Bad
from pipelines.decode.exact import decode_exact
from pipelines.decode.scan import scanner as scanner_module
from pipelines.decode.scan.compiling import entry
from pipelines.decode.scan.machine import PADDING
from pipelines.decode.scan.numbers import DOUBT, read_number, to_half
from poke_bc.contract.schema import Schema, load_schema

BASIC = load_schema("basic")


@entry
def _numbers(data: Any, starts: Any, values: Any, ends: Any) -> None:
    for place in range(len(starts)):
        values[place], ends[place], _ = read_number(data, starts[place])


@entry
def _halves(values: Any, bits: Any) -> None:
    for place in range(len(values)):
        bits[place] = to_half(values[place])


def read_numbers(texts: list[str]) -> Iterator[tuple[str, float | None]]:
    """Each text with the number that it was read as, None where it was left to the exact reader."""
    pieces = [text.encode() + b"," for text in texts]
    starts = np.cumsum([0, *map(len, pieces)])[:-1]
    values, ends = np.empty(len(texts)), np.empty(len(texts), np.int64)
    _numbers(np.frombuffer(b"".join(pieces) + bytes(PADDING), np.uint8), starts, values, ends)
    for text, start, value, end in zip(texts, starts, values, ends, strict=True):
        assert end in (DOUBT, start + len(text)), text
        yield text, None if end == DOUBT else value


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


digits = st.text("0123456789", min_size=1, max_size=22)
number_texts = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(0, 1).map(repr),
    st.integers().map(str),
    st.builds(lambda sign, whole, fraction, power: f"{sign}{int(whole)}.{fraction}e{power}", st.sampled_from(["", "-"]),
              digits, digits, st.integers(-350, 350)),
    # half way between two neighbours, and a digit away from there
    st.builds(lambda whole, power, last: f"{(2 * whole + 1) << power}.{last}", st.integers(2**52, 2**53 - 1),
              st.integers(0, 9), st.sampled_from(["0", "1"])),
    st.builds(lambda whole, power: f"{whole}e{power}", st.integers(0, 10**19 - 1), st.integers(-330, 300)),
)


@given(st.lists(number_texts, min_size=1, max_size=50))
def test_a_number_is_read_as_python_reads_it_or_not_at_all(texts: list[str]) -> None:
    for text, value in read_numbers(texts):
        assert value is None or bits(value) == bits(float(text)), text


def test_ordinary_numbers_are_read_and_not_left_to_the_exact_reader() -> None:
    random = Random(0)
    texts = [repr(random.uniform(0.1, 1) * 10.0 ** random.randrange(-5, 17)) for _ in range(10_000)]
    texts += [str(random.randrange(-10**18, 10**18)) for _ in range(10_000)]
    texts += [repr(hp / most) for most in range(1, 400) for hp in range(most)]
    texts += [str(ratio / 10_000) for ratio in range(10_000)]
    texts += ["0", "-0", "-0.0", "0.1", "1e22", "1e-22", "5e22", "1E+5", "0.0001234567890123456789", "0.8731"]
    assert [text for text, value in read_numbers(texts) if value is None] == []


@pytest.mark.parametrize("text", ["", "-", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "+1", "NaN", "Infinity", "0x1",
                                  "1_0", "--1", "1e400", "1e-400", "5e-324", "12345678901234567890",
                                  "9007199254740993.0", "0.00000000000000000001234567890123456789", "1e00001"])
def test_anything_but_a_number_and_a_hard_number_are_left_to_the_exact_reader(text: str) -> None:
    values, ends = np.empty(1), np.empty(1, np.int64)
    _numbers(np.frombuffer(text.encode() + b"," + bytes(PADDING), np.uint8), np.zeros(1, np.int64), values, ends)
    assert ends[0] == DOUBT or ends[0] != len(text)  # the comma that must follow a value then does not


def test_every_float16_and_every_middle_between_two_is_rounded_as_numpy_does() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = (halves[:-1] + halves[1:]) / 2
    values = np.concatenate([halves, middles, np.nextafter(middles, 0), np.nextafter(middles, 1e9)])
    values = np.concatenate([values, -values, np.random.default_rng(0).uniform(-65504, 65504, 100_000)])
    found = np.empty(len(values), np.uint16)
    _halves(values, found)
    assert np.array_equal(found, values.astype(np.float16).view(np.uint16))


def scanned_alone(text: bytes, schema: Schema = BASIC) -> dict[str, Any]:
    """What the kernel gives; the exact reader is not there to help."""
    with mock.patch.object(scanner_module, "decode_exact", side_effect=AssertionError("a line was doubtful")):
        scanned = scanner()(text, 0, 0, schema)
    assert scanned is not None
    assert scanned[1] == []
    return plain(scanned[0])


@pytest.mark.parametrize("masks", ["all", "some", "none"])
@pytest.mark.parametrize("write", [
    lambda raw: json.dumps(raw), lambda raw: json.dumps(raw, ensure_ascii=False, separators=(",", ":")),
    lambda raw: json.dumps(raw, sort_keys=True), lambda raw: " " + json.dumps(raw, separators=(" ,\t", " : ")) + " \r"])
def test_clean_lines_are_never_doubtful(masks: str, write: Any) -> None:
    text = "".join(write(raw) + "\n" for raw in make_trajectories(20, masks=masks)).encode()
    assert scanned_alone(text) == by_hand(text, BASIC)[0]


def test_unknown_keys_of_any_shape_are_stepped_over_and_counted() -> None:
    raws = make_trajectories(10)
    for number, raw in enumerate(raws):
        raw["tree"] = {"a": [{"b": {}, "c": []}, [[], [None, True, -1.5e3, "\\ \" \u00e9 😀"]]], "d": {"a": 1, "e": {}}}
        for step in raw["steps"]:
            step["comment"] = "well played" if number % 2 else None
            step["observation"] |= {"turns": 1, "tur": [1, {"a": 2}], "": 0, f"key {number}": {}}
    text = to_text(raws)
    assert scanned_alone(text) == by_hand(text, BASIC)[0]


def test_a_text_with_many_doubtful_bytes_is_left_to_arrow() -> None:
    lines = [to_line(raw) for raw in make_trajectories(6)]
    lines[3] = lines[3].replace(b'"turn"', b'"t\\u0075rn"')
    text = b"\n".join(lines)
    for most, left in ((len(lines[3]), False), (len(lines[3]) - 1, True)):
        with mock.patch.object(scanner_module, "_MOST_DOUBTFUL_BYTES", most):
            assert (scanner()(text, 0, 0, BASIC) is None) == left
            assert by_decode(text, BASIC) == by_hand(text, BASIC)


def test_more_unknown_keys_than_it_can_remember_are_still_counted() -> None:
    raws = make_trajectories(20)
    for number, raw in enumerate(raws):
        raw["steps"][0]["observation"] |= {f"{number} {key}": key for key in range(40)}
    text = to_text(raws)
    assert by_decode(text, BASIC) == by_hand(text, BASIC)


@pytest.mark.parametrize("reason", sorted(BAD))
def test_a_bad_line_is_doubtful_and_changes_nothing_about_its_neighbours(reason: str) -> None:
    lines = [to_line(raw) for raw in make_trajectories(4)]
    for place in (0, 3, len(lines)):
        text = b"\n".join([*lines[:place], BAD[reason].line, *lines[place:]]) + b"\n"
        found, bad = by_decode(text, BASIC)
        assert (found, bad) == by_hand(text, BASIC)
        assert [line.line for line in bad] == [place]
        assert found["action"] == scanned_alone(b"\n".join(lines) + b"\n")["action"]


def test_doubtful_lines_that_are_good_stand_in_their_places() -> None:
    hard = [make_trajectory(50 + number) for number in range(4)]
    lines = [to_line(raw) for raw in make_trajectories(6)]
    for place, raw in zip((0, 3, 4, 12), hard, strict=True):  # two of them beside each other
        lines.insert(place, to_line(raw).replace(b'"turn"', b'"t\\u0075rn"', 1))
    lines.insert(5, b"}")
    text = b"\n".join(lines)
    with mock.patch.object(scanner_module, "decode_exact", side_effect=decode_exact) as exact:
        assert by_decode(text, BASIC, 100) == by_hand(text, BASIC, 100)
    assert exact.call_count == 5


def repeating(observation: Raw, **others: Any) -> Raw:
    step = {"observation": observation, "action_type": 0, "action_target": 1, "reward": 0.0} | others
    return {"replay_id": "b", "player": "p1", "steps": [step, step, step, step | {"done": True}]}


def test_what_is_written_as_in_the_step_before_has_the_same_values_and_counts() -> None:
    raws = [repeating({"turn": 3, "active_hp": None, "team_hp": [0.1] * 6, "own_sticky_web": True}),
            repeating({"own_sticky_web": True, "turn": 3}, label="censored", candidates=[True] * 10),
            repeating({"turn": 35}), repeating({"turn": 3}, label="observed", candidates=[True] * 10),
            repeating({}), repeating({"team_hp": [0.1] * 6}, label="none", legal=[True] * 10, gimmick="tera", weight=2)]
    for separators in ((",", ":"), (", ", ": ")):
        text = "".join(json.dumps(raw, separators=separators) + "\n" for raw in raws).encode()
        assert scanned_alone(text) == by_hand(text, BASIC)[0]


@pytest.mark.parametrize(("old", "new"), [
    (b'"turn": 3}', b'"turn": 35}'), (b'"turn": 3}', b'"turn": 3 }'), (b'"turn": 3}', b'"turn": 3, "team_id": 1}'),
    (b'"turn": 3}', b'"turn": 3, "turn": 3}'), (b'"turn": 3}', b'"turn": 3,}'), (b'"turn": 3}', b'"turn":  3}'),
    (b'"reward": 0.0}', b'"reward": 0.05}'), (b'"reward": 0.0}', b'"reward": 0.0, "reward": 0.0}')])
def test_a_step_that_only_begins_like_the_one_before_is_read_anew(old: bytes, new: bytes) -> None:
    line = to_line(repeating({"active_hp": 0.5, "turn": 3}))
    for count in (1, 2, -1):
        text = line + b"\n" + line.replace(old, new, count) + b"\n" + line + b"\n"
        assert by_decode(text, BASIC) == by_hand(text, BASIC)


def test_nothing_is_remembered_of_a_doubtful_line() -> None:
    good = to_line(repeating({"turn": 3, "active_hp": 0.5}))
    spoilt = good.replace(b'"turn": 3', b'"turn": 4').replace(b'"done": true', b'"done": 0')
    text = b"\n".join([good, spoilt, spoilt.replace(b"0.5", b"0.25"), good.replace(b'"turn": 3', b'"turn": 4'), good])
    assert by_decode(text, BASIC) == by_hand(text, BASIC)


def test_a_text_of_doubtful_lines_is_left_to_arrow() -> None:
    text = b"}\n" * 3000 + to_text(make_trajectories(3))
    assert scanner()(text, 0, 0, BASIC) is None
    found, bad = by_decode(text, BASIC, 7)
    assert len(bad) == 3000
    assert bad[-1] == Bad(2999, 7 + 2 * 2999, "$", bad[-1].reason)
    assert found == by_hand(text, BASIC)[0]


@pytest.mark.parametrize("size", range(-3, 4))
def test_the_border_before_the_tail_may_lie_anywhere(size: int) -> None:
    line = to_line(make_trajectory(1, steps=1))
    text = (line + b"\n") * (2 * scanner_module._TAIL // len(line) + 2)
    with mock.patch.object(scanner_module, "_TAIL", len(line) + 1 + size):
        assert by_decode(text, BASIC) == by_hand(text, BASIC)
        assert by_decode(text[:-1], BASIC) == by_hand(text[:-1], BASIC)
        unknown = text.replace(b'"steps"', b'"x": 1, "steps"').replace(b"p1", b"p3", 1)
        assert by_decode(unknown, BASIC) == by_hand(unknown, BASIC)


def test_the_kernel_reads_no_further_than_it_may() -> None:
    done = subprocess.run([sys.executable, REPOSITORY / "tests" / "guard_pages.py"], env=environment(),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" texts\n")


def test_the_corpus_of_the_fuzzer_is_read_alike() -> None:
    texts = [*read_corpus()]
    assert len(texts) > 200
    for text in texts:
        for schema in SCHEMAS:
            assert by_decode(text, schema, 17) == by_hand(text, schema, 17), (schema.name, text)


@pytest.mark.soak
def test_changed_texts_are_read_alike() -> None:
    mutator = Mutator(Random(), [*seeds(), *read_corpus()])
    for _ in range(20_000):
        text = mutator.next()
        for schema in SCHEMAS:
            assert by_decode(text, schema, 17) == by_hand(text, schema, 17), (schema.name, text)


def test_total_reward_left_out_is_the_exact_sum() -> None:
    raw = make_trajectory(3)
    raw["steps"] = [step | {"reward": reward, "done": False}
                    for step, reward in zip([raw["steps"][0]] * 5, [1e16, 1.0, -1e16, 0.1, 0.2], strict=True)]
    raw["total_reward"] = None
    total = math.fsum([1e16, 1.0, -1e16, 0.1, 0.2])
    assert f"'total_reward': {total}," in scanned_alone(to_text([raw]))["trajectories"]
