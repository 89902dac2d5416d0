"""One key of the observation: its kind, how many values it has, their range, and the check of a JSON value."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

CATEGORY, NUMBER, INTEGER, FLAG, BITS = "category", "number", "integer", "flag", "bits"
KINDS = (CATEGORY, NUMBER, INTEGER, FLAG, BITS)
FLAGS_A_COLUMN = 11
"""Flags of a `bits` field that share a column: float16 holds all integers of 11 bits exactly."""
FLOAT16_MAX = 65504.0
MAX_VALUES = 1 << 15
"""Of all fields of a schema together; `singles` has about a thousand."""
FLOAT16_EXACT_INTEGER = 2048


class FieldValueError(ValueError):
    """A value that its field does not allow; `path` is relative to the observation."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of the observation."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    kind: str
    """category, number, integer, flag (JSON true/false) or bits (flags that share columns)."""
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_VALUES)] = 1
    """Number of values; above 1 the JSON value is a list of exactly that length."""
    low: float = 0.0
    high: float = 1.0
    """Inclusive range of each value; anything outside makes the line bad."""
    scale: float | None = None
    """The value that the network's input represents as 1.0; None: `high`."""
    unit: str = ""
    vocab: str = ""
    """Name of a category field's vocabulary."""
    default: float = 0.0
    """Stored where the key is missing or null; an id for categories."""
    doc: str = ""
    gens: tuple[int, int] | None = None
    """First and last generation that has it, None: all. Explains why a field does not vary."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.is_category != bool(self.vocab):
            raise ValueError("a category needs `vocab`, and other kinds must not have it")
        if not self.low <= self.default <= self.high or not self.low < self.high:
            raise ValueError("needs low < high, and a default between them")
        if self.kind == BITS and (self.low, self.high, self.default) != (0, 1, 0):
            raise ValueError("bits are 0 or 1, and 0 where the key is missing")
        largest = max(abs(self.low), abs(self.high))
        if self.kind == INTEGER and largest > FLOAT16_EXACT_INTEGER:
            raise ValueError(f"integers beyond {FLOAT16_EXACT_INTEGER} are not exact in float16; use another kind")
        if self.kind == NUMBER and largest > FLOAT16_MAX:
            raise ValueError(f"numbers beyond {FLOAT16_MAX:g} do not fit float16")
        if self.scale is not None and not self.scale > self.low:
            raise ValueError("scale must be above low")
        if self.gens is not None and not 1 <= self.gens[0] <= self.gens[1]:
            raise ValueError("gens must be [first, last] generation, as in [6, 9]")

    def to_dict(self) -> dict[str, Any]:
        """Every key as in the TOML file; `gens` is omitted if it is None."""
        row: dict[str, Any] = msgspec.to_builtins(self)
        if self.gens is None:
            del row["gens"]
        return row

    @property
    def is_category(self) -> bool:
        """Whether it is part of the category matrix; all other kinds are part of the number matrix."""
        return self.kind == CATEGORY

    @property
    def columns(self) -> int:
        """Number of columns that it takes in its matrix."""
        return -(-self.width // FLAGS_A_COLUMN) if self.kind == BITS else self.width

    def check(self, value: Any, path: str) -> float:
        """One JSON value -> the number to store. Raises FieldValueError."""
        if self.kind in (FLAG, BITS):
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


def json_type(value: Any) -> str:
    """The JSON name of a decoded value's type, for messages."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
