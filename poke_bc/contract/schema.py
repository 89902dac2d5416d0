"""The schema: one table of observation fields, from which everything else derives.

The JSON reader's types, the shard columns, the range checks, the network's inputs and docs/schema.md all
come from here. A schema is data: a TOML file. `basic` ships in `schemas/`; users bring their own with
`poke-bc preprocess --schema FILE.toml`.

    name = "mine"
    version = 1

    [[field]]
    name = "own_hp"
    kind = "number"          # number | integer | flag | category
    width = 6                # list length in JSON; 1 (the default) is a bare value
    low = 0
    high = 1
    unit = "fraction of maximum HP"
    default = 1.0            # taken when the key is missing or null
    gens = [1, 9]            # first and last generation that has it; for inspect

    [[field]]
    name = "own_species"
    kind = "category"
    width = 6
    vocab = "species"

    [vocabulary]
    species = ["bulbasaur", "ivysaur"]   # JSON holds names; leave the vocabulary out and JSON holds ids
    move = "moves.txt"                   # the same as a file beside the TOML file, one name a line
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import SchemaError
from poke_bc.contract.vocabulary import MAX_ID, UNKNOWN, Vocabulary

CATEGORY, NUMBER, INTEGER, FLAG = "category", "number", "integer", "flag"
KINDS = (CATEGORY, NUMBER, INTEGER, FLAG)
FLOAT16_MAX = 65504.0
FLOAT16_EXACT_INTEGER = 2048
SHIPPED = ("basic", "singles")


class FieldValueError(ValueError):
    """A value that its field does not allow; `path` is relative to the observation."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Field:
    """One key of the observation."""

    name: str
    kind: str
    """category, number, integer or flag (JSON true/false)."""
    width: int = 1
    """How many values; above 1 the JSON value is a list of exactly that length."""
    low: float = 0.0
    high: float = 1.0
    """Inclusive range of each value; anything outside makes the line bad."""
    scale: float | None = None
    """The value that the network sees as 1.0, where that is not `high`."""
    unit: str = ""
    vocab: str = ""
    """Name of the vocabulary of a category field."""
    default: float = 0.0
    """Stored where the key is missing or null; an id for categories."""
    doc: str = ""
    gens: tuple[int, int] | None = None
    """First and last generation of games that have it; None: all. Tells why a field does not vary."""

    def to_dict(self) -> dict[str, Any]:
        """As in the TOML file, every key written out; `gens` where it has some, since older shards know no such key."""
        row = dict(vars(self))
        gens = row.pop("gens")
        return row if gens is None else row | {"gens": list(gens)}

    @property
    def is_category(self) -> bool:
        """Whether it fills the category matrix; all others fill the number matrix."""
        return self.kind == CATEGORY

    def check(self, value: Any, path: str) -> float:
        """One JSON value -> the number to store. Raises FieldValueError."""
        if self.kind == FLAG:
            if type(value) is not bool:
                raise FieldValueError(path, f"expected true or false, got {json_type(value)}")
            return float(value)
        if type(value) is not int and type(value) is not float:
            raise FieldValueError(path, f"expected {self.kind if self.kind != CATEGORY else 'integer id'}, "
                                        f"got {json_type(value)}")
        if self.kind != NUMBER and type(value) is float and not value.is_integer():
            raise FieldValueError(path, f"expected an integer, got {value}")
        if not self.low <= value <= self.high:
            raise FieldValueError(path, f"{value} is outside [{self.low:g}, {self.high:g}]")
        return float(value) + 0.0  # -0.0 becomes 0.0


@dataclass(frozen=True)
class Schema:
    """A named, versioned list of fields with their vocabularies.

    Columns: category fields fill the packed [N, C] uint16 matrix and all others the packed [N, K] float16
    matrix, both in the order of the table.
    """

    name: str
    version: int
    fields: tuple[Field, ...]
    vocabularies: Mapping[str, Vocabulary]

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
        return sum(field.width for field in self.numbers)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Field name -> its columns in the packed matrix of its kind."""
        places: dict[str, slice] = {}
        for group in (self.categories, self.numbers):
            at = 0
            for field in group:
                places[field.name] = slice(at, at + field.width)
                at += field.width
        return places

    @cached_property
    def field_names(self) -> frozenset[str]:
        """Keys that an observation may have."""
        return frozenset(field.name for field in self.fields)

    @cached_property
    def hash(self) -> str:
        """16 hex digits over everything that decides a shard; not over words for people or vocabulary sizes."""
        table = self.to_dict()
        for field in table["field"]:
            for for_people in ("doc", "unit", "gens"):
                field.pop(for_people, None)
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """As in the TOML file, every key written out (`gens` where there are some)."""
        return {
            "name": self.name,
            "version": self.version,
            "field": [field.to_dict() for field in self.fields],
            "vocabulary": {name: list(vocab.names) for name, vocab in sorted(self.vocabularies.items())
                           if vocab.names is not None},
        }

    def pack(self, observation: Mapping[str, Any]) -> tuple[list[int], list[float]]:
        """One observation -> C ids and K numbers; missing and null keys take their default.

        The reference for every faster reader. Raises FieldValueError naming the key.

        >>> basic = load_schema("basic")
        >>> ids, numbers = basic.pack({"turn": 3, "active_species_id": 7})
        >>> ids[0], numbers[0]
        (7, 3.0)
        """
        ids = [int(value) for field in self.categories for value in self._values(field, observation)]
        numbers = [value for field in self.numbers for value in self._values(field, observation)]
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


def json_type(value: Any) -> str:
    """The JSON name of a decoded value's type, for messages."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def schema_from_dict(table: Mapping[str, Any], where: str, *, folder: Traversable | None = None) -> Schema:
    """Check a schema table as TOML or a manifest holds it. Raises SchemaError naming the field.

    Args:
        table: name, version, field, vocabulary.
        where: what error messages call it.
        folder: where vocabularies that are files lie; without it they must be lists.
    """
    hint = "see docs/schema.md for the keys a field may have"
    try:
        rows = [dict(row) for row in table["field"]]
        name, version = str(table["name"]), int(table["version"])
        closed = {str(key): _names(names, folder, where) for key, names in dict(table.get("vocabulary", {})).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"{where}: needs name, version and [[field]] tables ({error})", hint=hint) from None
    fields = []
    for row in rows:
        if row.get("kind") == CATEGORY:
            closed_names = closed.get(row.get("vocab", ""))
            row["low"], row["high"] = 0, MAX_ID if closed_names is None else len(closed_names) + 1
        try:
            row |= {key: float(row[key]) + 0.0  # -0.0 becomes 0.0
                    for key in ("low", "high", "scale", "default") if row.get(key) is not None}
            if isinstance(row.get("gens"), list):
                row["gens"] = tuple(row["gens"])
            field = Field(**row)
            _check_field(field)
        except (TypeError, ValueError) as error:
            raise SchemaError(f"{where}: field {row.get('name', '?')!r}: {error}", hint=hint) from None
        fields.append(field)
    if not fields or len({field.name for field in fields}) != len(fields):
        raise SchemaError(f"{where}: needs at least one field, each name once", hint=hint)
    used = dict.fromkeys(field.vocab for field in fields if field.is_category)
    vocabularies = {vocab: Vocabulary.closed(vocab, closed[vocab]) if vocab in closed else Vocabulary(vocab)
                    for vocab in used}
    for vocab in vocabularies.values():
        names = ("", "none", *(vocab.names or ()))
        if len(names) > MAX_ID + 1 or len(set(names)) != len(names):
            raise SchemaError(f"{where}: vocabulary {vocab.name!r} repeats a name (\"none\" is always there), "
                              f"or has more than {MAX_ID - 1}", hint=hint)
    return Schema(name, version, tuple(fields), vocabularies)


def _names(value: Any, folder: Traversable | None, where: str) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(str, value))
    if not isinstance(value, str) or folder is None:
        raise TypeError(f"a vocabulary is a list of names, not {value!r:.40}")
    try:
        lines = folder.joinpath(value).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SchemaError(f"{where}: a vocabulary is a list of names or a text file of them, and {value!r:.80} "
                          f"cannot be read ({error})", hint="give its path relative to the schema file") from None
    return tuple(name for line in lines if (name := line.strip()))


def _check_field(field: Field) -> None:
    if not isinstance(field.name, str) or not field.name:
        raise ValueError("name must be text")
    if field.kind not in KINDS:
        raise ValueError(f"kind {field.kind!r} is none of {', '.join(KINDS)}")
    if not isinstance(field.width, int) or field.width < 1:
        raise ValueError("width must be a whole number of at least 1")
    if field.is_category != bool(field.vocab):
        raise ValueError("a category needs `vocab`, and nothing else may have it")
    if not field.low <= field.default <= field.high or not field.low < field.high:
        raise ValueError("needs low < high, and a default between them")
    if field.kind == INTEGER and max(abs(field.low), abs(field.high)) > FLOAT16_EXACT_INTEGER:
        raise ValueError(f"integers beyond {FLOAT16_EXACT_INTEGER} are not exact in float16; use category or number")
    if field.kind == NUMBER and max(abs(field.low), abs(field.high)) > FLOAT16_MAX:
        raise ValueError(f"numbers beyond {FLOAT16_MAX:g} do not fit float16")
    if field.scale is not None and not field.scale > field.low:
        raise ValueError("scale must lie above low")
    if field.gens is not None and not (isinstance(field.gens, tuple) and len(field.gens) == 2
                                       and all(type(gen) is int for gen in field.gens)
                                       and 1 <= field.gens[0] <= field.gens[1]):
        raise ValueError("gens must be [first, last] generation, as in [6, 9]")


def load_schema(name_or_path: str | Path) -> Schema:
    """A shipped schema by name ("basic"), or one's own from a TOML file. Raises SchemaError.

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
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise SchemaError(f"{name_or_path}: no such schema",
                          hint=f"give a TOML file or one of: {', '.join(SHIPPED)}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(f"{name_or_path}: not a readable TOML file ({error})",
                          hint=f"give a TOML file or one of: {', '.join(SHIPPED)}") from None
    return schema_from_dict(table, str(name_or_path), folder=folder)
