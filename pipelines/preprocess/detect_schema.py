"""Detects the schema of the input from its first trajectories, and refuses inputs that it does not describe."""

from __future__ import annotations

from pathlib import Path

from pipelines.preprocess.beginnings import Keys
from poke_bc.contract.errors import SchemaError
from poke_bc.contract.schema import SHIPPED, Schema, load_schema

_NAMED = 5
"""Keys that a message names."""
_DESCRIBE = "describe them in a TOML file (docs/schema.md) and give it as --schema FILE.toml"


def choose_schema(wanted: str | Path, keys: Keys) -> Schema:
    """The schema to read with.

    Args:
        wanted: "auto", a shipped schema's name, or a TOML file.
        keys: keys of the first observations of each input.

    Raises SchemaError if it has none of the keys of an input, if it has less than half of those of some inputs but not
    of others, which are of another kind then, or if "auto" finds no schema that has half of them.
    """
    everywhere = set().union(*keys.values())
    if str(wanted) != "auto":
        schema = load_schema(wanted)
    else:
        schema = max((load_schema(name) for name in SHIPPED), key=lambda each: len(each.field_names & everywhere))
    fits = {name: len(found & schema.field_names) for name, found in keys.items() if found}
    poor = [name for name, count in fits.items() if 2 * count < len(keys[name])]
    if poor and len(poor) < len(fits):
        good = next(name for name in fits if name not in poor)
        raise SchemaError(
            f"the inputs differ in kind: schema {schema.name!r} has {_share(fits[good], keys[good])} of the "
            f"observations of {good}, but {_share(fits[poor[0]], keys[poor[0]])} of {poor[0]}"
            f"{f' and {len(poor) - 1} more' if len(poor) > 1 else ''}",
            hint="preprocess each kind on its own, with an --out and, if need be, a --schema of its own")
    for name in poor:
        fitting, others = keys[name] & schema.field_names, keys[name] - schema.field_names
        if not fitting:
            raise SchemaError(f"no field of schema {schema.name!r} is in {name}, whose observations hold "
                              f"{_names(others)}", hint=_DESCRIBE)
        if str(wanted) == "auto":
            raise SchemaError(
                f"{name}: schema {schema.name!r}, which fits best, has only {_share(len(fitting), keys[name])} of its "
                f"observations: it has {_names(fitting)}, and not {_names(others)}",
                hint=f"{_DESCRIBE}, or --schema {schema.name} to read those that fit")
    return schema


def _share(fitting: int, keys: set[str]) -> str:
    return f"{fitting} of the {len(keys)} keys"


def _names(keys: set[str]) -> str:
    return f"{', '.join(sorted(keys)[:_NAMED])}{', ...' if len(keys) > _NAMED else ''}"
