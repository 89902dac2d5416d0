"""Parquet is read as JSONL is: the same rows, and the same words for what is wrong."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_lines import BAD, STEP, good
from decoding import plain
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_reading import read_shards_with_polars
from tables import retyped, table_of, write_parquet
from trajectories import FULL, Raw, make_trajectories, make_trajectory, write_raw

from pipelines.decode import table as table_reader
from pipelines.decode.exact import decode_exact
from pipelines.preprocess import preprocess, preprocess_job
from pipelines.preprocess.parquet_blocks import parquet_blocks
from poke_bc.contract.errors import InputError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.schema import Schema, load_schema, schema_from_dict

BASIC = load_schema("basic")


def outcome(path: Path, out: Path, **options: Any) -> dict[str, Any]:
    """All that preprocess says about a file, but for what depends on how it is stored."""
    told: dict[str, Any] = {}
    try:
        manifest = preprocess([path], out, schema="basic", workers=1, max_bad=1, **options).manifest
        tables = [pl.read_ipc(out / shard.trajectories.name) for shard in manifest.shards]
        told |= {name: column.tobytes() for name, column in read_shards_with_polars(out).items()}
        told |= {"trajectories": repr(pl.concat(tables).to_dicts()), "counts": manifest.counts,
                 "lines": manifest.sources[0].lines}
    except InputError as error:
        told["error"] = error.what.removeprefix(str(path))
    if (out / "quarantine.jsonl").exists():
        named = map(json.loads, (out / "quarantine.jsonl").read_text("utf-8").splitlines())
        told["bad"] = [(each["line"], each["path"], each["reason"]) for each in named]
    return told


def read(table: pa.Table, path: Path, schema: Schema = BASIC) -> tuple[dict[str, Any], list[tuple[int, str, str]]]:
    """Rows of a table through a Parquet file, and (row, path, reason) of bad ones."""
    (block,) = parquet_blocks(str(write_parquet(path, table)))
    decoded, bad = block.read().decode(schema)
    assert decoded.trajectories.schema.field("line").type == pa.int64()
    return plain(decoded), [(each.line, each.path, each.reason) for each in bad]


def assert_reads_as_its_lines(table: pa.Table, path: Path, schema: Schema = BASIC) -> dict[str, Any]:
    """What the table holds, having compared it with the lines of JSON that hold the same."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in table.to_pylist()).encode()
    decoded, bad = decode_exact(text, 0, 0, schema)
    found = read(table, path, schema)
    assert found == (plain(decoded), [(each.line, each.path, each.reason) for each in bad])
    return found[0]


# --- the same as lines ------------------------------------------------------------------------------------------

SPOILT: list[tuple[str, Any]] = [
    ("replay_id", ""), ("player", "p3"), ("total_reward", 1e39), ("gen", 2**40), ("steps", []), ("steps", None),
    ("step", None), ("observation", None), ("action_type", 2), ("action_target", 5), ("action_target", -1),
    ("action_type", None), ("legal", [True] * 9), ("legal", [False] * 10), ("legal", [True, True, *[False] * 8]),
    ("legal", [None] * 10), ("label", "guessed"), ("label", "censored"), ("label", "none"), ("gimmick", "tera"),
    ("candidates", [True] * 10), ("candidates", []), ("reward", -1e300), ("reward", -0.0), ("done", True),
    ("weight", -0.5), ("weight", 0.0), ("turn", 1001), ("turn", -1), ("turn", 3.7), ("active_hp", 1.5),
    ("active_hp", 2), ("team_hp", [1.0] * 5), ("team_hp", [0.5, None, 0.5, 0.5, 0.5, 0.5]), ("team_hp", [9.0] * 6),
    ("team_id", 65536), ("team_id", 2**63 - 1), ("weather_id", None), ("own_sticky_web", None), ("mood", 7),
    ("team_status", [0.5] * 6), ("team_status", []), ("comment", "x"), ("unheard of", {"of": [1]}),
]  # fmt: skip
OF_ANOTHER_TYPE: list[Any] = ["text", 7, 3.5, True, [1, 2], [True] * 10, {"a": 1}, ["a"] * 6, [[1]]]


def owner_of(raw: Raw, key: str, random: Random) -> Raw:
    """The trajectory, one of its steps or an observation: where a key belongs."""
    step = random.choice(raw["steps"])
    if key in good() or key == "gen":
        return raw
    return step["observation"] if key in FULL or key == "mood" else step


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Made trajectories, some values replaced by others that the table can hold, in columns of various types."""
    random = Random(draw(st.integers(0, 2**32)))
    raws = [make_trajectory(random.randrange(60), random.choice(["p1", "p2"]), random.randrange(1, 5),
                            masks=random.choice(["all", "some", "none"])) for _ in range(random.randrange(1, 30))]
    for key, value in draw(st.lists(st.sampled_from(SPOILT), max_size=4)):
        raw = random.choice(raws)
        if key == "step" and raw["steps"]:
            raw["steps"][random.randrange(len(raw["steps"]))] = value
        elif raw["steps"] and all(raw["steps"]):
            owner = owner_of(raw, key, random)
            if owner is not None:
                owner[key] = value
    if draw(st.integers(0, 3)) == 0:  # a column of the wrong type
        key, value = random.choice(SPOILT)[0], random.choice(OF_ANOTHER_TYPE)
        for raw in raws:
            for step in [step for step in raw["steps"] or [] if step]:
                for owner in (raw, step, step["observation"]):
                    if owner is not None and key in owner:
                        owner[key] = value
    try:
        return retyped(table_of(raws), random)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # values that no column holds together
        return retyped(table_of(make_trajectories(3)), random)


@settings(max_examples=60)
@given(table=tables(), exact=st.sampled_from([1, 3, 10**6]), block=st.sampled_from([2000, 20_000, 1 << 23]),
       group=st.sampled_from([1, 4, 1000]))
def test_a_table_is_read_as_the_lines_that_hold_the_same(tmp_path_factory: pytest.TempPathFactory, table: pa.Table,
                                                        exact: int, block: int, group: int) -> None:
    folder = tmp_path_factory.mktemp("same")
    lines = write_raw(folder / "raw.jsonl", table.to_pylist())
    write_parquet(folder / "raw.parquet", table, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_reader, "_EXACT_ROWS", exact)
        # whether the schema fits is judged by the beginning, and what that is depends on how the rows are stored
        patch.setattr(preprocess_job, "choose_schema", lambda *_: BASIC)
        found = outcome(folder / "raw.parquet", folder / "table", block_bytes=block)
        assert found == outcome(lines, folder / "lines")


def representable(line: bytes) -> bool:
    try:
        value = json.loads(line.decode("utf-8-sig"), parse_constant=lambda _: 1 / 0)
        pq.write_table(table_of([value]), pa.BufferOutputStream())
        return not line.startswith(b"\xef\xbb\xbf")
    except (ValueError, TypeError, ArithmeticError, RecursionError, pa.ArrowException):
        return False


IN_A_TABLE = [name for name, each in BAD.items()
              if representable(each.line) and not name.startswith(("duplicate", "nested", "empty object"))]


def test_most_ways_to_be_no_trajectory_can_stand_in_a_table() -> None:
    assert len(IN_A_TABLE) >= 44


@pytest.mark.parametrize("name", IN_A_TABLE)
def test_a_bad_row_is_refused_with_the_path_and_reason_of_its_line(name: str, tmp_path: Path) -> None:
    _, bad = read(table_of([json.loads(BAD[name].line)]), tmp_path / "raw.parquet")
    ((row, path, reason),) = bad
    assert (row, path) == (0, BAD[name].path)
    assert BAD[name].reason in reason


def test_a_clean_table_never_goes_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "decode_each", lambda *_: pytest.fail("the fast way was not sure"))
    for masks in ("all", "some", "none"):
        table = table_of(make_trajectories(20, masks=masks))
        for seed in range(5):
            assert_reads_as_its_lines(retyped(table, Random(seed)), tmp_path / "raw.parquet")


def test_rows_beside_a_bad_one_do_not_notice(tmp_path: Path) -> None:
    raws = make_trajectories(30)
    clean, _ = read(table_of(raws), tmp_path / "clean.parquet")
    spoilt = [*raws[:17], make_trajectory(99) | {"player": "p3"}, *raws[17:]]
    found, bad = read(table_of(spoilt), tmp_path / "spoilt.parquet")
    assert {**found, "trajectories": None} == {**clean, "trajectories": None}
    assert bad == [(17, "$.player", "'p3' is neither p1 nor p2")]


# --- types ------------------------------------------------------------------------------------------------------


def with_column(change: Callable[[Raw, Raw, Raw], Any], *, battles: int = 4) -> pa.Table:
    """Good trajectories after `change(trajectory, step, observation)` of their first step."""
    raws = [good() | {"replay_id": f"b{number}"} for number in range(battles)]
    for raw in raws:
        change(raw, raw["steps"][STEP], raw["steps"][STEP]["observation"])
    return table_of(raws)


def of_observation(name: str, values: pa.Array) -> pa.Table:
    """A trajectory of one step for each value."""
    observations = pa.StructArray.from_arrays([values], [name])
    zeros = pa.array([0] * len(values))
    steps = pa.StructArray.from_arrays([observations, zeros, zeros], ["observation", "action_type", "action_target"])
    return pa.table({"replay_id": [f"b{number}" for number in range(len(values))], "player": ["p1"] * len(values),
                     "steps": pa.ListArray.from_arrays(list(range(len(values) + 1)), steps)})


HP = [[1.0, 0.5, 0.25, 0.0, 0.125, 0.75], [0.5] * 6, [1.0] * 6]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("lists", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 6)],
                         ids=["list", "large list", "fixed-size list"])
def test_numbers_and_lists_of_any_width_are_the_same(lists: Callable[[pa.DataType], pa.DataType], kind: pa.DataType,
                                                     tmp_path: Path) -> None:
    table = of_observation("team_hp", pa.array(HP, lists(kind)))
    assert_reads_as_its_lines(table, tmp_path / "raw.parquet")


def test_fixed_size_lists_may_be_null(tmp_path: Path) -> None:
    table = of_observation("team_hp", pa.array([HP[0], None, HP[1]], pa.list_(pa.float32(), 6)))
    assert_reads_as_its_lines(table, tmp_path / "raw.parquet")


def test_a_fixed_size_list_of_another_size_makes_every_row_bad(tmp_path: Path) -> None:
    table = of_observation("team_hp", pa.array([[1.0] * 5] * 3, pa.list_(pa.float32(), 5)))
    _, bad = read(table, tmp_path / "raw.parquet")
    assert bad == [(row, "$.steps[0].observation.team_hp", "expected 6 values, got 5") for row in range(3)]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint64(), pa.float32()], ids=str)
def test_integers_of_any_width_and_whole_floats_are_integers(kind: pa.DataType, tmp_path: Path) -> None:
    table = of_observation("turn", pa.array([1, 2, None, 100], kind))
    found, bad = read(table, tmp_path / "raw.parquet")
    assert bad == []
    assert found == read(of_observation("turn", pa.array([1, 2, None, 100])), tmp_path / "raw.parquet")[0]


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_texts_of_any_kind_are_texts(kind: pa.DataType, tmp_path: Path) -> None:
    table = of_observation("own", pa.array(["abra", "mew", None, "none", ""], kind))
    for name in ("replay_id", "player"):
        values = table.column(name).combine_chunks()
        values = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
        table = table.set_column(table.column_names.index(name), name, values)
    names = schema_from_dict({"name": "names", "version": 1, "vocabulary": {"species": ["abra"]}, "field": [
        {"name": "own", "kind": "category", "vocab": "species"}]}, "here")
    found = assert_reads_as_its_lines(table, tmp_path / "raw.parquet", names)
    assert found["category"][2] == b"\2\0\0\0\0\0\1\0\0\0"


@pytest.mark.parametrize(("values", "reason"), [
    (pa.array([Decimal("0.50")] * 2), "expected number, got Decimal"),
    (pa.array([b"0.5"] * 2), "expected number, got bytes"),
    (pa.array(["0.5"] * 2), "expected number, got string"),
    (pa.array([True] * 2), "expected number, got boolean"),
    (pa.array([datetime.date(2024, 1, 2)] * 2), "expected number, got date"),
    (pa.array([{"a": 1}] * 2), "expected number, got object"),
    (pa.array([2**60] * 2, pa.timestamp("ms")), "a timestamp[ms] that cannot be read"),
    (pa.array([math.nan] * 2), "nan is outside [0, 1]"),
    (pa.array([math.inf] * 2), "inf is outside [0, 1]"),
], ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "")  # fmt: skip
def test_a_column_that_is_no_number_makes_every_row_bad_with_its_reason(values: pa.Array, reason: str,
                                                                        tmp_path: Path) -> None:
    _, bad = read(of_observation("active_hp", values), tmp_path / "raw.parquet")
    assert [row for row, *_ in bad] == [0, 1]
    assert all(path.endswith("observation.active_hp") for _, path, _ in bad)
    assert all(told.startswith(reason) for *_, told in bad), bad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "reason"), [("total_reward", "does not fit float32"), ("rating", "does not fit")])
def test_what_is_no_number_in_a_float_column_makes_its_row_bad(name: str, reason: str, value: float,
                                                              tmp_path: Path) -> None:
    raws = make_trajectories(3)
    raws[4][name] = value
    _, ((row, path, told),) = read(table_of(raws), tmp_path / "raw.parquet")
    assert (row, path) == (4, f"$.{name}")
    assert reason in told


@pytest.mark.parametrize(("values", "texts"), [
    (pa.array([datetime.date(2024, 1, 2), None]), ["2024-01-02", None]),
    (pa.array([datetime.datetime(2024, 1, 2, 3, 4), None], pa.timestamp("s")), ["2024-01-02 03:04:00.000", None]),
    (pa.array([datetime.datetime(2024, 1, 2, 23), None], pa.timestamp("us", "Europe/Berlin")),
     ["2024-01-02 23:00:00.000000Z", None]),
], ids=["date", "moment", "moment in a zone"])
def test_dates_become_iso_text(values: pa.Array, texts: list[str | None], tmp_path: Path) -> None:
    table = table_of([good(), good()]).append_column("date", values)
    as_text = table.set_column(table.column_names.index("date"), "date", pa.array(texts))
    assert read(table, tmp_path / "a.parquet") == read(as_text, tmp_path / "b.parquet")


def test_text_that_is_no_utf8_makes_its_row_bad(tmp_path: Path) -> None:
    raws = make_trajectories(10)
    winners = [raw["winner"].encode() if raw["winner"] else None for raw in raws]
    winners[13] = b"Zo\xff"
    broken = pa.array(winners, pa.binary()).view(pa.string())
    table = table_of(raws)
    table = table.set_column(table.column_names.index("winner"), "winner", broken)
    found, bad = read(table, tmp_path / "raw.parquet")
    assert bad == [(13, "$.winner", "invalid UTF-8")]
    assert found["trajectories"].count("replay_id") == len(raws) - 1


# --- columns that nobody asked for ------------------------------------------------------------------------------


def test_unknown_columns_of_any_type_are_counted_and_cost_nothing_else(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    raws = make_trajectories(10)
    odd = {
        "map": pa.array([[("a", 1)]] * 19 + [None], pa.map_(pa.string(), pa.int64())),
        "money": pa.array([Decimal("1.10"), None] * 10),
        "late": pa.array([2**62] * 20, pa.timestamp("ms")),
        "broken": pa.array([b"\xff"] * 20, pa.binary()).view(pa.string()),
        "nothing": pa.nulls(20),
    }
    table = table_of(raws)
    before, _ = read(table, tmp_path / "raw.parquet")
    for name, values in odd.items():
        table = table.append_column(name, values)
    for sure in (True, False):
        if not sure:
            monkeypatch.setattr(table_reader, "rows_from_arrow", unsure)
        found, bad = read(table, tmp_path / "raw.parquet")
        assert bad == []
        assert found["unknown"] == before["unknown"] | {"$.map": 19, "$.money": 10, "$.late": 20, "$.broken": 20}
        assert {**found, "unknown": None} == {**before, "unknown": None}


def unsure(*_: object) -> None:
    raise table_reader.NotSure


def test_missing_columns_are_missing_keys(tmp_path: Path) -> None:
    raw: Raw = {"replay_id": "a", "player": "p2",
                "steps": [{"observation": {"turn": 1}, "action_type": 0, "action_target": 0}]}
    assert_reads_as_its_lines(table_of([raw] * 3), tmp_path / "raw.parquet")
    for missing in ("replay_id", "player"):
        less = table_of([{key: value for key, value in raw.items() if key != missing}] * 2)
        assert read(less, tmp_path / "raw.parquet")[1] == [(row, f"$.{missing}", "missing") for row in (0, 1)]
    for missing in ("observation", "action_type"):
        step = {key: value for key, value in raw["steps"][0].items() if key != missing}
        ((_, path, reason),) = read(table_of([raw | {"steps": [step]}]), tmp_path / "raw.parquet")[1]
        assert (path, reason) == (f"$.steps[0].{missing}", "missing")


def test_the_quarantine_names_row_path_and_reason_and_no_byte(tmp_path: Path) -> None:
    raws = make_trajectories(10)
    raws[13]["player"] = "p3"
    path = write_parquet(tmp_path / "raw.parquet", raws, row_group_size=3)
    preprocess([path], tmp_path / "out", workers=1, max_bad=0.1, block_bytes=3000)
    (told,) = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert told == {"file": str(path), "line": 14, "path": "$.player", "reason": "'p3' is neither p1 nor p2"}
    assert Manifest.read(tmp_path / "out").counts.trajectories == 19
