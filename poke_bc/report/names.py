"""How ids are spelt, and the facts of moves that a page shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.schema import Schema
from poke_bc.contract.vocabulary import NONE, UNKNOWN
from poke_bc.dex import dex, spelling

_KEPT_AS_WRITTEN = ("format", "phase")
Ids = dict[str, set[int]]


def ids_by_vocabulary(schema: Schema, category_NC: NDArray[np.uint16]) -> Ids:
    """Vocabulary -> the ids of it that rows hold."""
    found: Ids = {}
    for field in schema.categories:
        found.setdefault(field.vocab, set()).update(
            int(id_) for id_ in np.unique(category_NC[:, schema.columns[field.name]]))
    return found


def names_of(schema: Schema, used: Ids) -> dict[str, dict[int, str]]:
    """Vocabulary with names -> id -> name as people write it, without unknown and none."""
    return {vocab: {id_: _spelt(vocab, names[id_ - 2]) for id_ in sorted(used.get(vocab, ()))
                    if id_ not in (UNKNOWN, NONE) and id_ < len(names) + 2}
            for vocab, vocabulary in schema.vocabularies.items() if (names := vocabulary.names) is not None}


def _spelt(vocab: str, name: str) -> str:
    return name if vocab in _KEPT_AS_WRITTEN else spelling(vocab, name)


def move_facts(schema: Schema, used: Ids, gens: Iterable[int]) -> dict[int, dict[int, list[Any]]]:
    """Generation -> id of a move -> type, category, power, accuracy; empty where moves have no names."""
    vocabulary = schema.vocabularies.get("move")
    if vocabulary is None or vocabulary.names is None:
        return {}
    names: Mapping[int, str] = {id_: vocabulary.names[id_ - 2] for id_ in sorted(used.get("move", ()))
                                if id_ not in (UNKNOWN, NONE)}
    return {gen: {id_: [move.type, move.category, move.power, move.accuracy] for id_, name in names.items()
                  if (move := dex(gen).move(name)) is not None} for gen in sorted(set(gens))}
