"""Entities: which fields of an observation describe the same thing, so that a network can read it as one.

    [[entity]]
    name = "own_pokemon"
    count = 6
    fields = ["own_species", "own_hp"]       # width 6: one value each; width 12: two, and so on
    active = "own_active"                    # flag of the one that is in battle
    active_fields = ["own_boosts"]           # any width: about the active one alone
    actions = [4, 9]                         # action 4 + k is about entity k

    [[entity]]
    name = "own_move"
    of = "own_pokemon"                       # four to each own Pokémon
    count = 4
    fields = ["own_moves"]                   # width 6 x 4
    active_fields = ["own_move_damage"]      # width 4: moves of the active Pokémon alone
    actions = [0, 3]                         # moves of the active Pokémon

Entities of a kind are in no order that matters: a network that reads them as such gives the same answers when slots are
exchanged. They change no byte of a shard, and are not part of a schema's hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.field import MAX_VALUES, Field


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of thing that an observation describes `count` times (`count` times for each of those it belongs to)."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]+$")]
    count: Annotated[int, Meta(ge=1, le=MAX_VALUES)]
    fields: tuple[str, ...] = ()
    """Fields with a value, or several, for each."""
    of: str = ""
    """The kind that each belongs to, as moves belong to a Pokémon; such entities cannot have others of their own."""
    active: str = ""
    """Flag field of width `count`: the one that is in battle. Not for those that belong to another."""
    active_fields: tuple[str, ...] = ()
    """Fields about the active one alone; with `of`, about each of those that belong to the active one."""
    actions: tuple[int, int] | None = None
    """First and last action that these entities stand for, in their order; with `of`, those of the active one."""

    def to_dict(self) -> dict[str, Any]:
        """As in the TOML file; keys with their default are omitted."""
        row: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in row.items() if value not in ("", (), [], None)}


def entity_problems(entities: Sequence[Entity], fields: Mapping[str, Field]) -> Iterator[str]:
    """What is wrong with the entities of a schema, one line each."""
    by_name = {entity.name: entity for entity in entities}
    if len(by_name) != len(entities):
        yield "two entities have the same name"
    named = [name for entity in entities for name in (*entity.fields, *entity.active_fields)]
    for name in sorted({name for name in named if named.count(name) > 1}):
        yield f"field {name!r} belongs to two entities"
    taken: list[int] = []
    for entity in entities:
        where, parent = f"entity {entity.name!r}", by_name.get(entity.of)
        if entity.of and (parent is None or parent.of or entity.active):
            yield f"{where}: `of` names no entity that stands for itself, or there is `active` as well"
            continue
        total = entity.count * (parent.count if parent else 1)
        for name in (*entity.fields, *entity.active_fields, *filter(None, [entity.active])):
            if name not in fields:
                yield f"{where}: there is no field {name!r}"
        for name in entity.fields:
            if name in fields and fields[name].width % total:
                yield f"{where}: field {name!r} has {fields[name].width} values, which is no multiple of {total}"
        for name in entity.active_fields:
            if parent and name in fields and fields[name].width % entity.count:
                yield f"{where}: field {name!r} has {fields[name].width} values, no multiple of {entity.count}"
        if entity.active and entity.active in fields and fields[entity.active].width != entity.count:
            yield f"{where}: {entity.active!r} needs {entity.count} values, one for each"
        has_active = parent.active if parent else entity.active
        if not has_active and (entity.active_fields or (parent and entity.actions)):
            yield f"{where}: needs `active`, the flag of the one in battle"
        if entity.actions is not None:
            first, last = entity.actions
            if not 0 <= first <= last < NUM_ACTIONS or last - first + 1 != entity.count:
                yield f"{where}: `actions` are the first and last of {entity.count} actions below {NUM_ACTIONS}"
            taken += range(first, last + 1)
    if len(set(taken)) != len(taken):
        yield "two entities stand for the same action"
