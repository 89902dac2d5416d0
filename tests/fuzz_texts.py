"""Texts for the fuzzer: where it begins, how it changes them, and the corpus that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bad_lines import BAD
from trajectories import FULL, make_trajectory

from poke_bc.contract.schema import Schema, load_schema, schema_from_dict

CORPUS = Path(__file__).parent / "fuzz" / "corpus.jsonl"
"""One JSON string a line, its characters the bytes of a text."""

LONG_NAMES = ["a", "b", "ü", "eightlet", "ninelette", "a name of more than sixteen bytes"]
SCHEMAS: list[Schema] = [
    load_schema("basic"),
    schema_from_dict({
        "name": "words", "version": 1, "vocabulary": {"words": LONG_NAMES, "others": ["a", "c"]}, "field": [
            {"name": "turn", "kind": "integer", "low": -5, "high": 5},
            {"name": "active_hp", "kind": "number", "low": -1e4, "high": 1e4},
            {"name": "team_hp", "kind": "number", "width": 2, "default": 0.25},
            {"name": "active_status", "kind": "category", "vocab": "words"},
            {"name": "team_status", "kind": "category", "vocab": "words", "width": 3, "default": 1},
            {"name": "other", "kind": "category", "vocab": "others"},
            {"name": "id", "kind": "category", "vocab": "open"},
            {"name": "flags", "kind": "flag", "width": 2},
            {"name": "bits", "kind": "bits", "width": 13},
            {"name": "own_sticky_web", "kind": "flag"}]}, "here"),
    schema_from_dict({"name": "numbers alone", "version": 1, "field": [
        {"name": "turn", "kind": "number", "low": -65504, "high": 65504}]}, "here"),
]

_TOKENS = [
    *(token.encode() for token in (
        '"', "\\", "{", "}", "[", "]", ",", ":", "0", "1", "-", ".", "e5", "E-3", "1e400", "-0", "-0.0", "0.1", "3.0",
        "12345678901234567890", "0.30000000000000004", "9007199254740993", "5e-324", "1e-30", "65504", "1e22", "1e23",
        "true", "false", "null", "NaN", "{}", "[]", '""', '"\\u0041"', '"\\ud83d\\ude00"', '"\\udc00"', '"\\x"',
        '"a":1,', '"x":{"y":[1,{"z":null}]},', '"x":{"a":1,"a":2},', " ", "\t", "\r", "\n", "\0", "é", "日本", "😀",
        '"none"', '"mega"', '"observed"', '"censored"', '"p2"', '"eightlet"', '"ninelette"', "  ,  ", " : ",
        '"turn":2,', '"label":"censored",', '"candidates":null,', '"weight":0.5,', '"done":false,', '"reward":-1.5,',
        '"observation":{},', '"total_reward":null,', '"rating":1500,', '"gen":9,', '"winner":"\\u00e9",',
        "[" * 70, '{"a":' * 70)),
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x7f",
]


def seeds() -> Iterator[bytes]:
    """Good lines in several ways of writing, and every known way of being bad."""
    words = {"turn": 1, "active_hp": -0.5, "team_hp": [0.5, 1], "active_status": "ninelette", "other": "c", "id": 7,
             "team_status": ["a", "ü", "a name of more than sixteen bytes"], "flags": [True, False],
             "bits": [*[True, False] * 6, True], "own_sticky_web": False}
    for number in range(4):
        raw = make_trajectory(number, "p1", 3, masks="all")
        raw["steps"][0]["observation"] = dict(FULL)
        yield json.dumps(raw).encode()
        for step in raw["steps"]:
            step["observation"] = words
        yield json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode()
        yield json.dumps(raw | {"rating": 1500.5, "winner": "Zoë", "comment": {"a": [1, 2]}}).encode() + b"\r\n\n"
    for bad in BAD.values():
        if len(bad.line) < 3000:
            yield bad.line


def read_corpus() -> Iterator[bytes]:
    """The texts that are kept."""
    if CORPUS.exists():
        for line in CORPUS.read_text("ascii").splitlines():
            yield json.loads(line).encode("latin-1")


def write_corpus(texts: list[bytes]) -> None:
    """Keep these instead."""
    CORPUS.write_text("".join(json.dumps(text.decode("latin-1")) + "\n" for text in texts), "ascii")


class Mutator:
    """Changed texts of a growing corpus."""

    def __init__(self, random: Random, corpus: list[bytes]) -> None:
        self._random, self._corpus = random, corpus

    def next(self) -> bytes:
        """A text of the corpus after one to five changes."""
        random = self._random
        text = random.choice(self._corpus[-50:] if random.random() < 0.3 else self._corpus)
        for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
            text = self._changed(text)[:4000]
        return text

    def _changed(self, text: bytes) -> bytes:
        random = self._random
        at, end = sorted((random.randrange(len(text) + 1), random.randrange(len(text) + 1)))
        short = min(end, at + random.choice((0, 1, 1, 2, 4, 16)))
        what = random.randrange(9)
        if what == 0:
            return text[:at] + bytes([random.randrange(256)]) + text[short:]
        if what <= 3:
            return text[:at] + random.choice(_TOKENS) + text[short:]
        if what == 4:
            return text[:at] + text[short:]
        if what == 5:  # something of this text once more
            return text[:short] + text[at:short] + text[short:]
        if what == 6:  # something of another
            other = random.choice(self._corpus)
            begin = random.randrange(len(other) + 1)
            return text[:at] + other[begin: begin + random.choice((4, 30, 200, 4000))] + text[short:]
        if what == 7:  # a value in the place of another
            places = [place for place, char in enumerate(text) if char in b":,["]
            if not places:
                return text
            place = random.choice(places) + 1
            stop = next((here for here in range(place, len(text)) if text[here] in b",]}"), len(text))
            return text[:place] + random.choice(_TOKENS) + text[stop:]
        return text + random.choice((b"\n", b"\r\n", b"\n\n", b" \n")) + random.choice(self._corpus)
