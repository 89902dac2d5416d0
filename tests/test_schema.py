"""Schemas: one table of fields, from TOML, with errors that name the field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectories import FULL

from pipelines.preprocess.beginnings import observation_keys
from pipelines.preprocess.detect_schema import choose_schema
from poke_bc.contract.bits import pack_bits, unpack_bits
from poke_bc.contract.errors import SchemaError, UsageError
from poke_bc.contract.field import Field, FieldValueError
from poke_bc.contract.rows import arrow_schema, row_bytes, row_dtypes
from poke_bc.contract.schema import SHIPPED, Schema, load_schema, schema_from_dict

MINE = """
name = "mine"
version = 3

[[field]]
name = "hp"
kind = "number"
width = 2
high = 100
default = 50.0

[[field]]
name = "species"
kind = "category"
vocab = "species"
default = 1

[[field]]
name = "level"
kind = "integer"
low = 1
high = 100
default = 100

[[field]]
name = "shiny"
kind = "flag"

[vocabulary]
species = ["abra", "zubat"]
"""


def from_toml(folder: Path, text: str) -> Schema:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return load_schema(path)


def test_the_basic_schema_has_the_21_keys_that_existing_converters_write() -> None:
    basic = load_schema("basic")
    assert len(basic.fields) == 21
    assert basic.field_names == set(FULL)
    assert (basic.category_width, basic.number_width) == (18, 23)


def test_columns_of_one_kind_lie_side_by_side_in_the_order_of_the_table() -> None:
    basic = load_schema("basic")
    for group, width in ((basic.categories, basic.category_width), (basic.numbers, basic.number_width)):
        assert [place for field in group for place in range(width)[basic.columns[field.name]]] == list(range(width))


def test_a_row_costs_the_bytes_of_its_columns() -> None:
    basic = load_schema("basic")
    assert row_bytes(basic) == 2 * 18 + 2 * 23 + sum(dtype.itemsize for dtype, shape in row_dtypes(basic).values()
                                                     if not shape)
    assert arrow_schema(basic).names == list(row_dtypes(basic))


def test_a_schema_file_is_read_as_it_stands(tmp_path: Path) -> None:
    mine = from_toml(tmp_path, MINE)
    assert (mine.name, mine.version, [field.name for field in mine.fields]) == (
        "mine",
        3,
        ["hp", "species", "level", "shiny"],
    )
    assert mine.vocabularies["species"].ids["zubat"] == 3
    assert schema_from_dict(mine.to_dict(), "again") == mine


def test_missing_and_null_keys_take_their_default(tmp_path: Path) -> None:
    mine = from_toml(tmp_path, MINE)
    assert mine.pack({}) == ([1], [50.0, 50.0, 100.0, 0.0])
    assert mine.pack(dict.fromkeys(mine.field_names)) == mine.pack({})


def test_names_become_ids_unknown_ones_0_and_none_1(tmp_path: Path) -> None:
    mine = from_toml(tmp_path, MINE)
    assert [mine.pack({"species": name})[0] for name in ("abra", "zubat", "mew", "", "none")] == [
        [2],
        [3],
        [0],
        [0],
        [1],
    ]


def test_a_schema_without_categories_or_without_numbers_has_no_such_matrix(tmp_path: Path) -> None:
    head = 'name = "mine"\nversion = 1\n[[field]]\nname = "x"\n'
    assert "category" not in row_dtypes(from_toml(tmp_path, head + 'kind = "number"\n'))
    assert "number" not in row_dtypes(from_toml(tmp_path, head + 'kind = "category"\nvocab = "x"\n'))


def test_the_hash_is_the_same_in_every_process_and_on_every_day() -> None:
    assert load_schema("basic").hash == load_schema("basic").hash == "84955b83e5cc308c"


@pytest.mark.parametrize(("old", "new"), [
    ("width = 2", "width = 3"), ("high = 100\ndefault = 50.0", "high = 101\ndefault = 50.0"), ("50.0", "51.0"),
    ("version = 3", "version = 4"), ('"abra", "zubat"', '"zubat", "abra"'), ('"shiny"', '"shinier"'),
    ('kind = "flag"', 'kind = "number"'),
])
def test_the_hash_changes_with_every_part_of_a_field(tmp_path: Path, old: str, new: str) -> None:
    assert old in MINE
    assert from_toml(tmp_path, MINE).hash != from_toml(tmp_path, MINE.replace(old, new)).hash


def test_the_hash_does_not_change_with_the_sizes_found_in_the_data() -> None:
    basic = load_schema("basic")
    sized = {name: vocabulary.with_size(100) for name, vocabulary in basic.vocabularies.items()}
    assert Schema(basic.name, basic.version, basic.fields, sized).hash == basic.hash


@pytest.mark.parametrize(("old", "new", "names"), [
    ('kind = "flag"', 'kind = "bit"', ["shiny", "bit"]),
    ("width = 2", "width = 0", ["hp", "width"]),
    ("width = 2", 'width = "2"', ["hp", "width"]),
    ("width = 2", "widht = 2", ["hp", "widht"]),
    ('vocab = "species"', "", ["species", "vocab"]),
    ('kind = "flag"', 'kind = "flag"\nvocab = "x"', ["shiny", "vocab"]),
    ("default = 50.0", "default = 500.0", ["hp", "default"]),
    ("default = 50.0", 'default = "full"', ["hp"]),
    ("low = 1\nhigh = 100", "low = 1\nhigh = 5000", ["level", "2048"]),
    ("high = 100\ndefault = 50.0", "high = 1e6\ndefault = 50.0", ["hp", "float16"]),
    ("high = 100\ndefault = 50.0", "high = 100\nlow = 100\ndefault = 100.0", ["hp", "low < high"]),
    ("high = 100\ndefault = 50.0", "high = 100\nscale = -1\ndefault = 50.0", ["hp", "scale"]),
    ('kind = "flag"', 'kind = "flag"\ngens = [8]', ["shiny", "gens"]),
    ('kind = "flag"', 'kind = "flag"\ngens = [9, 8]', ["shiny", "gens"]),
    ('kind = "flag"', 'kind = "flag"\ngens = 8', ["shiny", "gens"]),
    ('kind = "flag"', 'kind = "flag"\ngens = ["8", "9"]', ["shiny", "gens"]),
    ('name = "level"', 'name = "hp"', ["same name"]),
    ('"abra", "zubat"', '"abra", "abra"', ["'species'", "repeats a name"]),
    ('["abra", "zubat"]', '"abra"', ["list of names"]),
    ('"abra", "zubat"', '"abra", "none"', ["'species'", "repeats a name"]),
    ('name = "mine"', "", ["name"]),
    ("version = 3", 'version = "three"', ["version"]),
    ('kind = "flag"', 'kind = "bits"\ndefault = 1', ["shiny", "bits"]),
    ("[vocabulary]", "[vocabulary", ["TOML"]),
])
def test_an_error_in_a_schema_file_names_the_file_and_the_field(tmp_path: Path, old: str, new: str,
                                                                names: list[str]) -> None:
    assert old in MINE
    with pytest.raises(SchemaError) as caught:
        from_toml(tmp_path, MINE.replace(old, new, 1))
    assert all(name in caught.value.what for name in ["mine.toml", *names]), caught.value.what


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"name": "x", "version": 1},
        {"name": "x", "version": 1, "field": []},
        {"name": "x", "version": 1, "field": [{}]},
        {"name": "x", "version": 1, "field": 3},
        {"name": "x", "version": 1, "field": [3]},
        {"name": "x", "version": 1, "field": [{"name": 3, "kind": "flag"}]},
        {"name": "x", "version": 1, "field": [{"name": "a", "kind": "flag"}], "vocabulary": 3},
    ],
)
def test_a_table_that_is_no_schema_is_a_schema_error(table: dict[str, object]) -> None:
    with pytest.raises(SchemaError):
        schema_from_dict(table, "here")


def test_a_schema_that_is_not_there_is_a_schema_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such schema"):
        load_schema("bsic")
    with pytest.raises(SchemaError, match=r"not a readable TOML file"):
        load_schema(tmp_path)


@given(value=st.one_of(st.floats(), st.integers(), st.integers(10**300, 10**400), st.booleans(), st.text(), st.none(),
                       st.lists(st.integers())),
       field=st.sampled_from([Field(name="x", kind="number", high=5.0), Field(name="x", kind="integer", high=5.0),
                              Field(name="x", kind="flag"), Field(name="x", kind="category", high=65535, vocab="x")]))
def test_a_value_is_stored_in_its_range_or_refused(value: object, field: Field) -> None:
    try:
        stored = field.check(value, "x")
    except FieldValueError:
        return
    assert stored == value
    assert field.low <= stored <= field.high
    assert field.kind == "number" or stored == int(stored)
    assert str(stored) != "-0.0"
    assert (type(value) is bool) == (field.kind == "flag")


def test_words_for_people_do_not_change_the_hash_but_ranges_do() -> None:
    table = load_schema("basic").to_dict()
    reworded = {**table, "field": [{**field, "doc": "new", "unit": "new", "high": int(field["high"])}
                                   for field in table["field"]]}
    wider = {**table, "field": [{**field, "high": field["high"] + 1} for field in table["field"]]}
    assert schema_from_dict(reworded, "here").hash == load_schema("basic").hash
    assert schema_from_dict(wider, "here").hash != load_schema("basic").hash


def test_a_vocabulary_may_be_a_file_beside_the_schema(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "species.txt").write_text("abra\n\nzubat \n", "utf-8")
    mine = from_toml(tmp_path, MINE.replace('["abra", "zubat"]', '"names/species.txt"'))
    assert mine.to_dict()["vocabulary"] == {"species": ["abra", "zubat"]}
    assert mine == from_toml(tmp_path, MINE)
    assert mine.hash == from_toml(tmp_path, MINE).hash
    assert schema_from_dict(mine.to_dict(), "a manifest") == mine


@pytest.mark.parametrize("value", ['"species.txt"', '""', '"\\u0000"', "3"])
def test_a_vocabulary_that_cannot_be_read_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(SchemaError, match=r"mine\.toml: .*list of names"):
        from_toml(tmp_path, MINE.replace('["abra", "zubat"]', value))


def test_a_manifest_cannot_point_to_files() -> None:
    table = load_schema("basic").to_dict() | {"vocabulary": {"species": "species.txt"}}
    with pytest.raises(SchemaError, match="list of names"):
        schema_from_dict(table, "a manifest")


def test_the_singles_schema_is_complete_and_stays_within_1060_bytes_a_row() -> None:
    singles = load_schema("singles")
    assert {"turn", "phase", "weather", "own_species", "own_active", "own_hp", "own_status", "own_moves", "opp_species",
            "opp_active", "opp_hp", "opp_status", "opp_moves"} <= singles.field_names
    assert row_bytes(singles) <= 1060
    assert not any(vocabulary.is_open for vocabulary in singles.vocabularies.values())
    ids = singles.vocabularies["species"].ids
    assert singles.pack({"own_species": ["greattusk", "none", "unknown", "", "abra", "zubat"]})[0][
        singles.columns["own_species"]] == [ids["greattusk"], 1, 0, 0, ids["abra"], ids["zubat"]]


def test_generations_of_a_field_are_for_people_and_stay_with_it(tmp_path: Path) -> None:
    plain = from_toml(tmp_path, MINE)
    mine = from_toml(tmp_path, MINE.replace('kind = "flag"', 'kind = "flag"\ngens = [2, 9]'))
    assert [field.gens for field in mine.fields] == [None, None, None, (2, 9)]
    assert mine.hash == plain.hash
    assert schema_from_dict(json.loads(json.dumps(mine.to_dict())), "a manifest") == mine
    assert ["gens" in row for row in mine.to_dict()["field"]] == [False, False, False, True]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_is_chosen_by_the_keys_of_the_data(name: str, tmp_path: Path) -> None:
    raw = observing(tmp_path / "raw.jsonl", *load_schema(name).field_names)
    assert choose_schema("auto", observation_keys([raw], iter(()))[0]).name == name


def test_a_key_that_the_schema_lacks_is_an_error_of_its_own_name() -> None:
    with pytest.raises(FieldValueError, match=r"own_hpp: not a field of schema 'basic'"):
        load_schema("basic").pack({"turn": 1, "own_hpp": 0.5})


def observing(path: Path, *keys: str) -> str:
    """A file of one observation with these keys."""
    steps = [{"observation": dict.fromkeys(sorted(keys), 0)}]
    path.write_text(json.dumps({"replay_id": "a", "player": "p1", "steps": steps}) + "\n")
    return str(path)


def test_a_schema_that_has_few_of_the_keys_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    raw = observing(tmp_path / "raw.jsonl", "turn", "mood", "luck", "skill")
    keys, _ = observation_keys([raw], iter(()))
    with pytest.raises(SchemaError, match=r"raw\.jsonl: .* only 1 of the 4 keys.* turn, and not luck, mood") as found:
        choose_schema("auto", keys)
    assert "--schema FILE.toml" in found.value.hint
    assert choose_schema("basic", keys).name == "basic"
    keys, _ = observation_keys([observing(tmp_path / "raw.jsonl", "turn", "active_hp", "mood", "luck")], iter(()))
    assert choose_schema("auto", keys).name == "basic"


@pytest.mark.parametrize("wanted", ["auto", "basic", "singles"])
def test_files_that_differ_in_kind_are_refused_whatever_their_order(wanted: str, tmp_path: Path) -> None:
    raws = [observing(tmp_path / f"{name}.jsonl", *load_schema(name).field_names) for name in SHIPPED]
    for names in (raws, raws[::-1], [raws[0], *raws]):
        keys, _ = observation_keys(names, iter(()))
        with pytest.raises(SchemaError, match=r"differ in kind") as caught:
            choose_schema(wanted, keys)
        assert all(name in caught.value.what for name in raws)


def test_minus_zero_in_a_schema_is_zero() -> None:
    schema = schema_from_dict({"name": "x", "version": 1, "field": [
        {"name": "a", "kind": "number", "low": -1, "default": -0.0}]}, "here")
    assert math.copysign(1, schema.fields[0].default) == 1


@given(st.lists(st.lists(st.booleans(), min_size=25, max_size=25), min_size=1, max_size=4), st.integers(1, 25))
def test_bits_are_flags_that_share_columns(rows: list[list[bool]], width: int) -> None:
    flags = np.array(rows)[:, :width]
    schema = schema_from_dict({"name": "x", "version": 1, "field": [
        {"name": "first", "kind": "number"}, {"name": "some", "kind": "bits", "width": width},
        {"name": "last", "kind": "flag"}]}, "here")
    value: Any = flags[0].tolist() if width > 1 else bool(flags[0, 0])
    ids, numbers = schema.pack({"first": 0.5, "some": value, "last": True})
    columns = numbers[schema.columns["some"]]
    assert (ids, numbers[0], numbers[-1], len(numbers)) == ([], 0.5, 1.0, schema.number_width)
    assert len(columns) == math.ceil(width / 11)
    assert unpack_bits(np.array(columns, np.float16), width).tolist() == flags[0].tolist()
    assert unpack_bits(pack_bits(flags), width).tolist() == flags.tolist()
    assert schema.pack({})[1] == [0.0] * schema.number_width


@pytest.mark.parametrize(("old", "new", "hint"), [
    ("width = 2", "widht = 2", "did you mean 'width'?"), ("[[field]]", "[[fields]]", "did you mean 'field'?"),
    ("[vocabulary]", "[vocabularies]", "did you mean 'vocabulary'?"),
    ("high = 9", "largest = 9", "one of: name, kind, width"),
])
def test_a_misspelt_key_is_answered_with_the_nearest(old: str, new: str, hint: str, tmp_path: Path) -> None:
    text = ('name = "mine"\nversion = 1\n[[field]]\nname = "hp"\nkind = "number"\nwidth = 2\nhigh = 9\n'
            '[vocabulary]\nspecies = ["a"]\n')
    (tmp_path / "mine.toml").write_text(text)
    load_schema(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(SchemaError, match="unknown key") as caught:
        load_schema(tmp_path / "mine.toml")
    assert hint in caught.value.hint
