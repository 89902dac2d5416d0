"""The schema: one table of observation fields, from which everything else derives.

The JSON reader's types, the shard columns, the range checks, the network's inputs and docs/schema.md all follow from
it. A schema is data, a TOML file: `basic` and `singles` ship in `schemas/`, and users bring their own with
`poke-bc preprocess --schema FILE.toml`.

    name = "mine"
    version = 1

    [[field]]
    name = "own_hp"
    kind = "number"          # number | integer | flag | bits | category
    width = 6                # list length in JSON; 1 (the default) is a bare value
    low = 0
    high = 1
    unit = "fraction of maximum HP"
    default = 1.0            # stored where the key is missing or null
    gens = [1, 9]            # first and last generation that has it; for inspect

    [[field]]
    name = "own_species"
    kind = "category"
    width = 6
    vocab = "species"

    [vocabulary]
    species = ["bulbasaur", "ivysaur"]   # JSON holds names; without a vocabulary it holds ids
    move = "moves.txt"                   # a text file next to the TOML file, one name per line

    [[entity]]                           # optional: fields that describe the same things, see entity.py
    name = "own_pokemon"
    count = 6
    fields = ["own_hp", "own_species"]
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from poke_bc.contract.bits import pack_bits
from poke_bc.contract.entity import Entity, entity_problems
from poke_bc.contract.errors import SchemaError, UsageError
from poke_bc.contract.field import BITS, CATEGORY, MAX_VALUES, Field, FieldValueError, json_type
from poke_bc.contract.settings import nearest
from poke_bc.contract.vocabulary import MAX_ID, UNKNOWN, Vocabulary

SHIPPED = ("basic", "singles")


@dataclass(frozen=True)
class Schema:
    """A named, versioned list of fields with their vocabularies.

    Category fields fill the packed [N, C] uint16 matrix and all others the packed [N, K] float16 matrix, both in the
    order of the table.
    """

    name: str
    version: int
    fields: tuple[Field, ...]
    vocabularies: Mapping[str, Vocabulary]
    entities: tuple[Entity, ...] = ()

    @cached_property
    def categories(self) -> tuple[Field, ...]:
        """Fields of the category matrix, in order."""
        return tuple(field for field in self.fields if field.is_category)

    @cached_property
    def numbers(self) -> tuple[Field, ...]:
        """Fields of the number matrix, in order."""
        return tuple(field for field in self.fields if not field.is_category)

    @cached_property
    def category_width(self) -> int:
        """C: columns of the packed category matrix."""
        return sum(field.width for field in self.categories)

    @cached_property
    def number_width(self) -> int:
        """K: columns of the packed number matrix."""
        return sum(field.columns for field in self.numbers)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Field name -> its columns in the packed matrix of its kind."""
        places: dict[str, slice] = {}
        for group in (self.categories, self.numbers):
            at = 0
            for field in group:
                places[field.name] = slice(at, at + field.columns)
                at += field.columns
        return places

    @cached_property
    def field_names(self) -> frozenset[str]:
        """Keys that an observation may have."""
        return frozenset(field.name for field in self.fields)

    @cached_property
    def hash(self) -> str:
        """16 hex digits over everything that affects a shard; not over documentation, entities or vocabulary sizes."""
        table = self.to_dict()
        table.pop("entity", None)
        for field in table["field"]:
            for documentation in ("doc", "unit", "gens"):
                field.pop(documentation, None)
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """As in the TOML file, but with the names themselves where a vocabulary is a file."""
        return {
            "name": self.name,
            "version": self.version,
            "field": [field.to_dict() for field in self.fields],
            "vocabulary": {name: list(vocab.names) for name, vocab in sorted(self.vocabularies.items())
                           if vocab.names is not None},
            **({"entity": [entity.to_dict() for entity in self.entities]} if self.entities else {}),
        }

    def with_sizes(self, sizes: Mapping[str, int]) -> Schema:
        """The schema with the vocabulary sizes found in the data; closed vocabularies keep their own."""
        return replace(self, vocabularies={name: vocab.with_size(sizes.get(name, vocab.size))
                                           for name, vocab in self.vocabularies.items()})

    def pack(self, observation: Mapping[str, Any]) -> tuple[list[int], list[float]]:
        """One observation -> C ids and K numbers; missing and null keys take their default.

        The reference for all faster readers. Raises FieldValueError naming the key, also one that the schema lacks.

        >>> basic = load_schema("basic")
        >>> ids, numbers = basic.pack({"turn": 3, "active_species_id": 7})
        >>> ids[0], numbers[0]
        (7, 3.0)
        """
        if unknown := observation.keys() - self.field_names:
            raise FieldValueError(min(unknown), f"not a field of schema {self.name!r}")
        ids = [int(value) for field in self.categories for value in self._values(field, observation)]
        numbers: list[float] = []
        for field in self.numbers:
            values = self._values(field, observation)
            numbers += pack_bits(np.array([*values])).tolist() if field.kind == BITS else values
        return ids, numbers

    def _values(self, field: Field, observation: Mapping[str, Any]) -> Iterator[float]:
        value = observation.get(field.name)
        if value is None:
            yield from (field.default,) * field.width
            return
        read = self._read_name if field.is_category and not self.vocabularies[field.vocab].is_open else Field.check
        if field.width == 1:
            yield read(field, value, field.name)
            return
        if type(value) is not list:
            raise FieldValueError(field.name, f"expected a list of {field.width}, got {json_type(value)}")
        if len(value) != field.width:
            raise FieldValueError(field.name, f"expected {field.width} values, got {len(value)}")
        for place, item in enumerate(value):
            yield read(field, item, f"{field.name}[{place}]")

    def _read_name(self, field: Field, value: Any, path: str) -> float:
        if type(value) is not str:
            raise FieldValueError(path, f"expected a {field.vocab} name, got {json_type(value)}")
        return self.vocabularies[field.vocab].ids.get(value, UNKNOWN)


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A schema as TOML or a manifest holds it."""

    name: str
    version: int
    field: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    vocabulary: dict[str, Any] = {}
    entity: list[dict[str, Any]] = []


def schema_from_dict(table: Mapping[str, Any], where: str, *, folder: Traversable | None = None) -> Schema:
    """Check a schema table as TOML or a manifest holds it. Raises SchemaError naming the field.

    Args:
        table: name, version, field, vocabulary, entity.
        where: how error messages refer to the table.
        folder: where vocabulary files are; without it, vocabularies must be lists.
    """
    hint = "docs/schema.md lists the keys that a schema and its fields may have"
    _check_keys(table, _Table, where)
    try:
        read = msgspec.convert(table, _Table)
    except msgspec.ValidationError as error:
        raise SchemaError(f"{where}: needs name, version and [[field]] tables ({error})", hint=hint) from None
    closed = {name: _names(name, value, folder, where) for name, value in read.vocabulary.items()}
    fields = []
    for row in read.field:
        numbers = {key: value + 0.0 for key, value in row.items() if type(value) is float}  # -0.0 becomes 0.0
        if row.get("kind") == CATEGORY:
            names = closed.get(str(row.get("vocab")))
            numbers |= {"low": 0.0, "high": MAX_ID if names is None else len(names) + 1}
        _check_keys(row, Field, f"{where}: field {row.get('name', '?')!r}")
        try:
            fields.append(msgspec.convert(row | numbers, Field))
        except msgspec.ValidationError as error:
            raise SchemaError(f"{where}: field {row.get('name', '?')!r}: {error}", hint=hint) from None
    if len({field.name for field in fields}) != len(fields):
        raise SchemaError(f"{where}: two fields have the same name", hint=hint)
    if (values := sum(field.width for field in fields)) > MAX_VALUES:
        raise SchemaError(f"{where}: {values:,} values, expected at most {MAX_VALUES:,}", hint=hint)
    vocabularies = {}
    for vocab in dict.fromkeys(field.vocab for field in fields if field.is_category):
        names = closed.get(vocab)
        vocabularies[vocab] = Vocabulary(vocab) if names is None else Vocabulary.closed(vocab, names)
        if names and (len(names) + 2 > MAX_ID + 1 or len({"", "none", *names}) != len(names) + 2):
            raise SchemaError(f"{where}: vocabulary {vocab!r} repeats a name (\"none\" is always in it), "
                              f"or has more than {MAX_ID - 1}", hint=hint)
    entities = tuple(_entities(read.entity, where, hint))
    if problem := next(entity_problems(entities, {field.name: field for field in fields}), None):
        raise SchemaError(f"{where}: {problem}", hint=hint)
    return Schema(read.name, read.version, tuple(fields), vocabularies, entities)


def _entities(rows: list[dict[str, Any]], where: str, hint: str) -> Iterator[Entity]:
    for row in rows:
        _check_keys(row, Entity, f"{where}: entity {row.get('name', '?')!r}")
        try:
            yield msgspec.convert(row, Entity)
        except msgspec.ValidationError as error:
            raise SchemaError(f"{where}: entity {row.get('name', '?')!r}: {error}", hint=hint) from None


def _check_keys(given: Mapping[str, Any], table: type[msgspec.Struct], where: str) -> None:
    """Raises SchemaError naming the known key that is nearest to one that is not."""
    for key in given:
        if key not in table.__struct_fields__:
            raise SchemaError(f"{where}: unknown key {key!r}", hint=nearest(key, list(table.__struct_fields__)))


def _names(vocab: str, value: Any, folder: Traversable | None, where: str) -> tuple[str, ...]:
    """The names of a vocabulary, given as a list or as the name of a text file in `folder`."""
    problem = f"{where}: vocabulary {vocab!r} is neither a list of names nor a text file of them"
    hint = "list the names, or give the path of a text file relative to the schema file"
    try:
        if isinstance(value, str) and folder is not None:
            lines = folder.joinpath(value).read_text("utf-8").splitlines()
            return tuple(name for line in lines if (name := line.strip()))
        return msgspec.convert(value, tuple[str, ...])
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise SchemaError(f"{problem}: {value!r:.80} ({error})", hint=hint) from None


def load_schema(name_or_path: str | Path) -> Schema:
    """A shipped schema by name ("basic"), or the one in a TOML file. Raises SchemaError.

    >>> load_schema("basic").category_width
    18
    """
    file: Traversable
    if str(name_or_path) in SHIPPED:
        folder = resources.files("poke_bc.contract").joinpath("schemas")
        file = folder.joinpath(f"{name_or_path}.toml")
    else:
        file = Path(name_or_path)
        folder = file.parent
    hint = f"give a TOML file or one of: {', '.join(SHIPPED)}"
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{name_or_path}: no such schema", hint=hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(f"{name_or_path}: not a readable TOML file ({error})", hint=hint) from None
    return schema_from_dict(table, str(name_or_path), folder=folder)
