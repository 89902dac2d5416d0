"""What the inputs begin with: read before anything is written, so that a file of another kind is named at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from pipelines.decode.text import Text
from pipelines.jobs.inputs import stored_bytes
from pipelines.jobs.streams import BOM, open_stream
from pipelines.preprocess.battles_given import are_battles, battles_given
from pipelines.preprocess.earlier import KeptTask
from pipelines.preprocess.parquet_blocks import is_parquet, parquet_blocks
from pipelines.preprocess.tasks import Task
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from poke_bc.contract.errors import InputError

_SAMPLED = 10
"""Observations whose keys are looked at."""
_HEAD = 1 << 20
Keys = dict[str, set[str]]
"""Input -> keys with a value in its first observations; empty where none can be read."""


AnyTask = Task | KeptTask


def observation_keys(names: list[str], tasks: Iterator[AnyTask]) -> tuple[Keys, Iterator[AnyTask]]:
    """The keys of each input that can be read twice, and of the first one in any case; and all tasks.

    Raises InputError naming battles, or a text that is not JSONL, and how to make it that.
    """
    keys: Keys = {}
    for name in names:
        if is_parquet(name):
            block = next(parquet_blocks(name), None)
            keys[name] = _keys(block.read().first() if block is not None else ())
        elif stored_bytes(name) is not None:
            try:
                head = head_of(name)
            except InputError:  # told when it is read in its turn, which a limit may prevent
                keys[name] = set()
                continue
            if are_battles(head):
                raise battles_given(name, names)
            refuse_other_texts(name, head)
            keys[name] = _keys(Text(head, 0).first())
    if names and names[0] not in keys:  # a pipe, which can only be read once
        taken: list[AnyTask] = []
        for task in islice(tasks, 2):
            taken.append(task)
            assert isinstance(task, Task), "a pipe is never there already"
            data = task.blocks[0].read()
            if isinstance(data, Text) and are_battles(data.data):
                raise battles_given(names[0])
            keys[names[0]] = _keys(data.first())
            if keys[names[0]] or task.source > 0:
                break
        tasks = chain(taken, tasks)
    return keys, tasks


def _keys(trajectories: Iterable[dict[str, Any]]) -> set[str]:
    keys: set[str] = set()
    read = 0
    for trajectory in trajectories:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            if isinstance(observation := trajectory["steps"][0]["observation"], dict):
                keys |= {key for key, value in observation.items() if value is not None}
                read += 1
        if read == _SAMPLED:
            break
    return keys


def head_of(name: str) -> bytes:
    """The first lines of a text, without a byte order mark. Raises InputError."""
    try:
        with open_stream(name) as (stream, _):
            head = stream.read(_HEAD)
            if len(head) == _HEAD:
                head += stream.readline(BLOCK_BYTES)
            return head.removeprefix(BOM)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(f"{name}: cannot be read ({error})", hint="is the file complete?") from None


def refuse_other_texts(name: str, head: bytes) -> None:
    """Raises InputError if a text is in another encoding or layout than JSONL, by what it begins with."""
    start = head[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(start) > 3 and start.count(b"\0") >= len(start) // 3):
        raise InputError(f"{name}: not UTF-8 text, but {'UTF-16' if len(set(start)) > 1 else 'zeros'}",
                         hint=f"iconv -f UTF-16 -t UTF-8 {name} > raw.jsonl" if len(set(start)) > 1 else
                         "is the file complete? write it again")
    lines = head.split(b"\n")
    if any(_is_object(line) for line in lines[:20]):
        return
    if len(lines) == 1 and _is_object(head.split(b"\r")[0]):
        raise InputError(f"{name}: its lines end in carriage returns alone",
                         hint=f"tr '\\r' '\\n' < {name} > raw.jsonl")
    if head.lstrip().startswith(b"["):
        raise InputError(f"{name}: a JSON array, and not one object a line", hint=f"jq -c '.[]' {name} > raw.jsonl")
    if head.lstrip().startswith(b"{") and len(lines) > 1 and _goes_on(head):
        raise InputError(f"{name}: JSON objects over several lines, and not one object a line",
                         hint=f"jq -c . {name} > raw.jsonl")


def _is_object(line: bytes) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        return isinstance(json.loads(line), dict)
    return False


def _goes_on(head: bytes) -> bool:
    """Whether the first line is the beginning of a JSON value that the next ones continue."""
    try:
        json.JSONDecoder().raw_decode(head.lstrip().decode(errors="replace"))
    except json.JSONDecodeError as error:
        return error.pos > len(head.lstrip().split(b"\n")[0]) and len(head) >= _HEAD
    except RecursionError:
        return False
    return True
