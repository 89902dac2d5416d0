"""Detects the schema of the input from its first trajectories."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipelines.decode.text import Text
from pipelines.preprocess.battles_given import are_battles, battles_given
from pipelines.preprocess.tasks import BlockData, Task
from poke_bc.contract.errors import SchemaError
from poke_bc.contract.schema import SHIPPED, Schema, load_schema


def choose_schema(wanted: str | Path, tasks: Iterator[Task]) -> tuple[Schema, Iterator[Task]]:
    """The schema to read with, and all tasks.

    Raises SchemaError if the first tasks have none of its fields, InputError if they hold battles.

    Args:
        wanted: "auto", a shipped schema's name, or a TOML file.
        tasks: tasks of the input; up to two are read, up to the first observations that can be parsed.
    """
    taken: list[Task] = []
    keys: set[str] = set()
    for task in tasks:
        taken.append(task)
        data = task.blocks[0].read()
        if isinstance(data, Text) and are_battles(data.data):
            raise battles_given(task.blocks[0].name)
        keys = _observation_keys(data)
        if keys or len(taken) == 2:
            break
    tasks = chain(taken, tasks)
    if str(wanted) != "auto":
        schema = load_schema(wanted)
    else:
        schema = max((load_schema(name) for name in SHIPPED), key=lambda each: len(each.field_names & keys))
    if keys and not schema.field_names & keys:
        raise SchemaError(f"no field of schema {schema.name!r} is in the data, whose observations hold "
                          f"{', '.join(sorted(keys)[:5])}{', ...' if len(keys) > 5 else ''}",
                          hint="describe them in a TOML file (docs/schema.md) and give it as --schema FILE.toml")
    return schema, tasks


def _observation_keys(data: BlockData) -> set[str]:
    """Keys with a value in the first ten observations that can be read."""
    keys: set[str] = set()
    read = 0
    for trajectory in data.first():
        with contextlib.suppress(KeyError, IndexError, TypeError):
            if isinstance(observation := trajectory["steps"][0]["observation"], dict):
                keys |= {key for key, value in observation.items() if value is not None}
                read += 1
        if read == 10:
            break
    return keys
