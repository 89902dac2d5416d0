"""Text to packed rows on one core: the decoder against JSON libraries, each with the flatten that suits it.

Every peer but simdjson's parser gives the columns `category`, `number`, `action` and `legal`, and these must be
the same bytes. simdjson only parses: the limit of what reading JSON can be.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from pipelines.decode import Text
from pipelines.decode.arrow_json import decode_with_arrow
from pipelines.preprocess.text_blocks import text_blocks
from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.contract.bits import pack_bits
from poke_bc.contract.field import BITS, FLAG, NUMBER, Field
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema, load_schema
from tests.bench.common import Line, converted_battles, enlarged_sample, line_of, rates, scanning, sized

Rows = dict[str, NDArray[Any]]
COLUMNS = (CATEGORY_COLUMN, NUMBER_COLUMN, "action", "legal")
ACTION_BITS = 1 << np.arange(NUM_ACTIONS)


def ours(block: bytes, schema: Schema) -> Rows:
    decoded, bad = scanning().decode(Text(block, 0), schema)
    assert not list(bad)
    return decoded.rows


def arrow(block: bytes, schema: Schema) -> Rows:
    return decode_with_arrow(block, 0, schema).rows


def python_json(loads: Callable[[bytes], Any], block: bytes, schema: Schema) -> Rows:
    """Objects out of any parser, then field by field over all steps: faster than step by step."""
    steps = [step for line in block.splitlines() for step in loads(line)["steps"]]
    observations = [step["observation"] for step in steps]

    def matrix(fields: Sequence[Field], dtype: type) -> NDArray[Any]:
        out = np.empty((len(steps), sum(field.columns for field in fields)), dtype)
        for field in fields:
            values = [observation.get(field.name) for observation in observations]
            missing = field.default if field.width == 1 else [field.default] * field.width
            if (ids := _ids(field, schema)) is not None:
                values = [missing if value is None else ids.get(value, 0) if field.width == 1 else
                          [ids.get(item, 0) for item in value] for value in values]
            elif None in values:
                values = [missing if value is None else value for value in values]
            plain = np.array(values).reshape(-1, field.width)
            out[:, schema.columns[field.name]] = pack_bits(plain) if field.kind == BITS else plain
        return out + out.dtype.type(0)  # -0.0 becomes 0.0

    nothing = [False] * NUM_ACTIONS
    return {
        CATEGORY_COLUMN: matrix(schema.categories, np.uint16),
        NUMBER_COLUMN: matrix(schema.numbers, np.float16),
        "action": np.array([4 * step["action_type"] + step["action_target"]
                            if step.get("label") in (None, "observed") else NO_LABEL for step in steps], np.int8),
        "legal": (np.array([step.get("legal") or nothing for step in steps]) @ ACTION_BITS).astype(np.uint16),
    }


def polars_ndjson(block: bytes, schema: Schema) -> Rows:
    """read_ndjson with the schema's types, steps exploded, every field exploded into its columns."""
    observation = pl.Struct({field.name: _polars_type(field, schema) for field in schema.fields})
    step = pl.Struct({"observation": observation, "action_type": pl.Int64, "action_target": pl.Int64,
                      "label": pl.String, "legal": pl.List(pl.Boolean)})
    steps = pl.read_ndjson(block, schema={"steps": pl.List(step)})["steps"].explode().struct.unnest()
    fields = steps["observation"].struct.unnest()

    def matrix(wanted: Sequence[Field], dtype: type) -> NDArray[Any]:
        out = np.empty((len(steps), sum(field.columns for field in wanted)), dtype)
        for field in wanted:
            values, columns = fields[field.name], schema.columns[field.name]
            there = values.is_not_null().to_numpy()
            values = values.drop_nulls()
            values = values.explode() if field.width > 1 and len(values) else values
            if (ids := _ids(field, schema)) is not None:
                values = values.replace_strict(ids, default=0, return_dtype=pl.UInt16)
            out[~there, columns] = field.default
            plain = values.to_numpy().reshape(-1, field.width)
            out[there, columns] = pack_bits(plain) if field.kind == BITS else plain
        return out + out.dtype.type(0)

    legal = steps["legal"]
    has_legal = legal.is_not_null().to_numpy()
    bits = np.zeros(len(steps), np.uint16)
    if has_legal.any():
        bits[has_legal] = legal.drop_nulls().explode().to_numpy().reshape(-1, NUM_ACTIONS) @ ACTION_BITS
    observed = steps["label"].fill_null("observed").to_numpy() == "observed"
    actions = (4 * steps["action_type"] + steps["action_target"]).fill_null(NO_LABEL).to_numpy()
    return {CATEGORY_COLUMN: matrix(schema.categories, np.uint16), NUMBER_COLUMN: matrix(schema.numbers, np.float16),
            "action": np.where(observed, actions, NO_LABEL).astype(np.int8), "legal": bits}


def _ids(field: Field, schema: Schema) -> dict[str, int] | None:
    """Name -> id, where JSON holds names."""
    if not field.is_category or schema.vocabularies[field.vocab].is_open:
        return None
    return schema.vocabularies[field.vocab].ids


def _polars_type(field: Field, schema: Schema) -> pl.DataType | type[pl.DataType]:
    if field.is_category:
        kind = pl.Int64 if schema.vocabularies[field.vocab].is_open else pl.String
    else:
        kind = {FLAG: pl.Boolean, BITS: pl.Boolean, NUMBER: pl.Float64}.get(field.kind, pl.Int64)
    return kind if field.width == 1 else pl.List(kind)


def peers() -> dict[str, Callable[[bytes, Schema], Rows]]:
    """Name -> block to rows, of every peer that is installed."""
    found: dict[str, Callable[[bytes, Schema], Rows]] = {
        "pyarrow.json + flatten": arrow,
        "polars.read_ndjson(schema=) + explode": polars_ndjson,
        "json.loads + NumPy per field": partial(python_json, json.loads),
    }
    if orjson := _installed("orjson"):
        found["orjson.loads + NumPy per field"] = partial(python_json, orjson.loads)
    return found


def parsers() -> dict[str, Callable[[bytes, Schema], None]]:
    """Name -> parse alone, nothing taken out of the text."""
    simdjson = _installed("simdjson")
    if simdjson is None:
        return {}
    parser = simdjson.Parser()

    def lines(block: bytes, schema: Schema) -> None:
        for line in block.splitlines():
            parser.parse(line)

    def at_once(block: bytes, schema: Schema) -> None:
        parser.parse(_as_array(block))

    return {"simdjson, parse only, line by line": lines, "simdjson, parse only, a block as one array": at_once}


@cache
def _as_array(block: bytes) -> bytes:
    return b"[" + block.strip().replace(b"\n", b",") + b"]"


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: not compared (just bench installs it)", file=sys.stderr)
        return None


def checksum(pieces: Iterable[Rows]) -> str:
    """Of the columns that every peer gives."""
    states = {name: xxhash.xxh3_64() for name in COLUMNS}
    for rows in pieces:
        for name, state in states.items():
            state.update(np.ascontiguousarray(rows[name]).view(np.uint8).data)
    return "".join(state.hexdigest() for state in states.values())


TARGETS = {"pyarrow.json + flatten": ">= 5", "simdjson, parse only, line by line": ">= 0.6"}


def run(folder: Path) -> Iterator[Line]:
    raw = folder / "basic.jsonl"
    decisions = enlarged_sample(raw, sized(100))
    yield from _compare("basic", raw, decisions)
    raw, _, decisions = converted_battles(folder, sized(400))
    yield from _compare("singles", raw, decisions)
    raw = folder / "random.jsonl"
    yield from _compare("basic", raw, random_sample(raw, sized(50)),
                        what="basic, no value repeated from the step before")


def random_sample(path: Path, megabytes: int) -> int:
    """Battles whose values are drawn anew in every step: nothing to gain from how the step before was written."""
    fields, drawn = load_schema("basic").fields, np.random.default_rng(0)

    def values(field: Field) -> Any:
        if field.kind == FLAG:
            found = [bool(each) for each in drawn.integers(0, 2, field.width)]
        elif field.kind == NUMBER:
            found = drawn.uniform(field.low, field.high, field.width).tolist()
        else:
            found = drawn.integers(field.low, min(field.high, 2000), field.width, endpoint=True).tolist()
        return found if field.width > 1 else found[0]

    decisions = battle = 0
    with open(path, "w", encoding="utf-8") as out:
        while out.tell() < megabytes * 1_000_000:
            steps = [{"observation": {field.name: values(field) for field in fields}, "action_type": 1,
                      "action_target": int(drawn.integers(6)), "reward": float(drawn.uniform(-1, 1)),
                      "legal": [*(bool(each) for each in drawn.integers(0, 2, 4)), *[True] * 6], "done": turn == 24}
                     for turn in range(25)]
            out.write(json.dumps({"replay_id": f"random-{battle}", "player": "p1", "steps": steps}) + "\n")
            decisions, battle = decisions + len(steps), battle + 1
    return decisions


def _compare(name: str, raw: Path, decisions: int, what: str | None = None) -> Iterator[Line]:
    schema, what = load_schema(name), what or name
    blocks = [data for block in text_blocks(str(raw)) if (data := block.read().data)]  # one may hold no line's start
    expected = checksum(ours(block, schema) for block in blocks)
    readers: dict[str, Callable[[bytes, Schema], Any]] = {**peers()}
    for peer, read in readers.items():
        if checksum(read(block, schema) for block in blocks) != expected:
            raise AssertionError(f"{peer}: other rows than ours")
    readers |= parsers()

    def job(read: Callable[[bytes, Schema], Any]) -> Callable[[], None]:
        def over_all_blocks() -> None:
            for block in blocks:
                read(block, schema)
        return over_all_blocks

    found = rates({"ours": job(ours)} | {peer: job(read) for peer, read in readers.items()},
                  raw.stat().st_size / 1e6)
    mine = found.pop("ours")
    for peer, theirs in found.items():
        yield line_of(f"decode {what} : {peer}", "MB/s", mine, theirs, target=TARGETS.get(peer, "(none)"))
    per_megabyte = decisions / (raw.stat().st_size / 1e6)
    yield line_of(f"decode {what} : pyarrow.json + flatten", "decisions/s", [rate * per_megabyte for rate in mine],
                  [rate * per_megabyte for rate in found["pyarrow.json + flatten"]], target=">= 5")
