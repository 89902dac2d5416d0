"""What convert and preprocess make of fixed inputs is what tests/digests.json records, byte for byte."""

from __future__ import annotations

import json

import pytest

from tests.digests import INPUTS, NEEDS_SHARED, RECORDED, SHARED, digests


@pytest.mark.parametrize("name", INPUTS)
def test_the_bytes_are_those_recorded(name: str) -> None:
    if name in NEEDS_SHARED and not (SHARED / name).exists():
        pytest.skip(f"REAL DATA NOT TESTED: {SHARED / name} is missing")
    expected = json.loads(RECORDED.read_text("utf-8"))[name]
    assert digests(name) == expected, "a change meant to change the bytes: python -m tests.digests --write"
