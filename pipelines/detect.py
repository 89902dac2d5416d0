"""Which schema to read with, seen from the first trajectories."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipelines.work import Block, Content
from poke_bc.contract.errors import SchemaError
from poke_bc.contract.schema import SHIPPED, Schema, load_schema


def choose_schema(wanted: str | Path, blocks: Iterator[Block]) -> tuple[Schema, Iterator[Block]]:
    """The schema to read with, checked against the first observations that can be read."""
    looked_at: list[Block] = []
    keys: set[str] = set()
    for block in blocks:
        looked_at.append(block)
        keys = _observation_keys(block.read())
        if keys or len(looked_at) == 2:
            break
    blocks = chain(looked_at, blocks)
    if str(wanted) != "auto":
        schema = load_schema(wanted)
    else:
        schema = max((load_schema(name) for name in SHIPPED), key=lambda each: len(each.field_names & keys))
    if keys and not schema.field_names & keys:
        raise SchemaError(f"no field of schema {schema.name!r} is in the data, whose observations hold "
                          f"{', '.join(sorted(keys)[:5])}{', ...' if len(keys) > 5 else ''}",
                          hint="describe them in a TOML file (docs/schema.md) and give it as --schema FILE.toml")
    return schema, blocks


def _observation_keys(content: Content) -> set[str]:
    """Keys with a value of the first ten observations that can be read."""
    keys: set[str] = set()
    read = 0
    for trajectory in content.first():
        with contextlib.suppress(KeyError, IndexError, TypeError):
            if isinstance(observation := trajectory["steps"][0]["observation"], dict):
                keys |= {key for key, value in observation.items() if value is not None}
                read += 1
        if read == 10:
            break
    return keys
