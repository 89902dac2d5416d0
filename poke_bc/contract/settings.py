"""Settings: tables whose values are always checked against the types of their fields.

A table is a frozen, keyword-only class with a line of doc under each field; the types include the ranges:

    class MyOptions(Settings, frozen=True, kw_only=True):
        width: Annotated[int, Meta(ge=1)] = 256
        \"""Width of the network.\"""
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

import msgspec
from msgspec import Meta

from poke_bc.contract.errors import UsageError

Count = Annotated[int, Meta(ge=1, le=10**9)]
Width = Annotated[int, Meta(ge=1, le=1 << 16)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
NotNegative = Annotated[float, Meta(ge=0, lt=1e9)]  # the bound keeps infinity out
Positive = Annotated[float, Meta(gt=0, lt=1e9)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]

_HINT = "all settings: docs/settings.md"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A table of settings. Raises UsageError for a value of the wrong type or outside its range."""

    table: ClassVar[str] = ""
    """Its name in TOML; "" for the settings outside any table."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Settings):  # checked when it was made
                continue
            try:
                checked = msgspec.convert(value, field.type, dec_hook=_convert)
            except msgspec.ValidationError as error:
                reason = (f"expected one of {', '.join(get_args(field.type))}" if get_origin(field.type) is Literal
                          else str(error).replace("`", "").replace("Expected", "expected"))
                name = f"{self.table}.{field.name}" if self.table else field.name
                raise UsageError(f"{name} = {value!r}: {reason}", hint=_HINT) from None
            msgspec.structs.force_setattr(self, field.name, checked)

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Build from names and values. Raises UsageError for unknown names too; `where` begins its message."""
        for name in values:
            if name not in cls.__struct_fields__:
                raise UsageError(f"{where}unknown setting {name!r}", hint=nearest(name, cls.names()))
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """All settings; those of nested tables as "table.name"."""
        nested = [f"{field.name}.{name}" for field in msgspec.structs.fields(cls)
                  if isinstance(field.default, Settings) for name in field.default.names()]
        return [*cls.__struct_fields__, *nested]

    def to_dict(self) -> dict[str, Any]:
        """As in TOML: paths as text, tables as dicts; settings that are None are omitted."""
        return _without_none(msgspec.to_builtins(self, enc_hook=str))

    def flat(self) -> dict[str, Any]:
        """Like `to_dict`, with nested tables flattened: {"lr": 0.002, "policy.width": 256}."""
        flat: dict[str, Any] = {}
        for name, value in self.to_dict().items():
            flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        return flat

    def to_toml(self) -> str:
        """TOML that `of` reads back, tables last."""
        values = self.to_dict()
        tables = {name: values.pop(name) for name in list(values) if isinstance(values[name], dict)}
        return _lines(values) + "".join(f"\n[{name}]\n{_lines(table)}" for name, table in tables.items())


def nearest(name: str, known: list[str]) -> str:
    """A hint for an unknown name; what follows a dot is also compared on its own."""
    spellings = {known_name.rpartition(".")[2]: known_name for known_name in known} | {each: each for each in known}
    near = difflib.get_close_matches(name, spellings, 1)
    return f"did you mean {spellings[near[0]]!r}?" if near else f"one of: {', '.join(known)}"


def _convert(kind: type, value: Any) -> Any:
    """msgspec's hook for types that it does not know."""
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_none(value) if isinstance(value, dict) else value
            for name, value in values.items() if value is not None}


def _lines(values: Mapping[str, Any]) -> str:
    # TOML, unlike JSON, has no raw DEL in strings
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", r"\u007f")
                   for name, value in values.items())
