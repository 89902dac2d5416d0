"""What the shards tell about the decisions that are evaluated.

    N decisions   A the ten actions   M the four move slots   D width of a field
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ALL_ACTIONS, MOVE_SLOTS, NO_LABEL, TEAM_SLOTS, unpack_actions
from poke_bc.contract.field import Field
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.vocabulary import UNKNOWN
from poke_bc.data.dataset import ShardDataset
from poke_bc.metrics import MOVES

WIDTHS = {"turn": 1, "phase": 1, "own_can_gimmick": 4, "own_alive": 1, "opp_alive": 1, "own_active": TEAM_SLOTS,
          "own_moves": TEAM_SLOTS * MOVE_SLOTS, "own_move_damage": MOVE_SLOTS}
"""Fields that the evaluation reads where the schema has them, with the width that they must have."""
_NAMED = ("phase", "own_moves")
"""Of these, the fields whose values are names of a vocabulary."""
_COLUMNS = ("action", "candidates", "legal", "gimmick", "battle", "trajectory", "step")
LEAD = "preview"
"""The phase in which the lead is chosen."""


@dataclass(frozen=True)
class Rows:
    """Columns of N decisions, in the order of their data set."""

    action_N: NDArray[np.int8]
    candidates_N: NDArray[np.uint16]
    legal_N: NDArray[np.uint16]
    gimmick_N: NDArray[np.uint8]
    battle_N: NDArray[np.uint64]
    trajectory_N: NDArray[np.uint32]
    step_N: NDArray[np.uint16]
    fields: Mapping[str, NDArray[Any]]
    """Those in WIDTHS that the schema has: [N, D]."""
    phases: tuple[str, ...]
    """Names of the values of `phase`; empty without that field."""

    def __len__(self) -> int:
        return len(self.action_N)

    def at(self, keep_N: NDArray[np.bool_]) -> Rows:
        """Those in a mask."""
        kept = {each.name: getattr(self, each.name)[keep_N] for each in fields(self) if each.name.endswith("_N")}
        return replace(self, **kept, fields={name: values[keep_N] for name, values in self.fields.items()})

    @property
    def is_observed_N(self) -> NDArray[np.bool_]:
        """The action is known, rather than some actions among which it is."""
        known_N: NDArray[np.bool_] = self.action_N != NO_LABEL
        return known_N

    @property
    def legal_NA(self) -> NDArray[np.bool_]:
        """Which actions were legal; all where that was not recorded."""
        return unpack_actions(np.where(self.legal_N == 0, np.uint16(ALL_ACTIONS), self.legal_N))

    @property
    def phase_N(self) -> NDArray[np.str_]:
        """Name of the phase, "unknown" where there is none."""
        if not self.phases:
            return np.full(len(self), "unknown")
        name_N: NDArray[np.str_] = np.array(("unknown", "none", *self.phases))[self.fields["phase"][:, 0]]
        return name_N

    @property
    def is_lead_N(self) -> NDArray[np.bool_]:
        """The lead is chosen, or the order of the team."""
        lead_N: NDArray[np.bool_] = self.phase_N == LEAD
        return lead_N

    @property
    def is_voluntary_N(self) -> NDArray[np.bool_]:
        """A switch was chosen where a move was legal too; without a recorded mask, where nothing forced it."""
        phase_N = self.phase_N
        free_N = np.isin(phase_N, ("turn", "unknown", "none"))
        move_open_N = np.where(self.legal_N == 0, free_N, (self.legal_N & MOVES) != 0)
        voluntary_N: NDArray[np.bool_] = (self.action_N >= MOVE_SLOTS) & move_open_N & ~self.is_lead_N
        return voluntary_N

    @property
    def turn_N(self) -> NDArray[Any]:
        """The turn; without that field, the step."""
        return self.fields["turn"][:, 0] if "turn" in self.fields else self.step_N


def read_rows(dataset: ShardDataset) -> Rows:
    """The rows of a data set, read in chunks."""
    schema = dataset.manifest.schema
    wanted = [each for each in schema.fields if WIDTHS.get(each.name) == each.width and _is_meant(each, schema)]
    found: dict[str, list[NDArray[Any]]] = {each.name: [] for each in wanted}
    for column in (CATEGORY_COLUMN, NUMBER_COLUMN):
        here = [each for each in wanted if each.is_category == (column == CATEGORY_COLUMN)]
        for chunk in dataset.chunks(column) if here else ():
            for each in here:
                found[each.name].append(chunk.numpy()[:, schema.columns[each.name]].copy())
    names = schema.vocabularies["phase"].names if "phase" in found else None
    return Rows(**{f"{name}_N": dataset.column(name) for name in _COLUMNS},
                fields={name: np.concatenate(parts) for name, parts in found.items() if parts}, phases=names or ())


def _is_meant(each: Field, schema: Schema) -> bool:
    """Whether a field is of the kind that its name promises, rather than one of the same name in another schema."""
    if each.name not in _NAMED:
        return not each.is_category and each.columns == each.width
    return each.is_category and schema.vocabularies[each.vocab].names is not None


def known_moves(rows: Rows) -> NDArray[np.int64] | None:
    """How many moves of the active Pokémon are known [N]; None without the fields."""
    if not {"own_active", "own_moves"} <= rows.fields.keys():
        return None
    first_N = rows.fields["own_active"].argmax(axis=1) * MOVE_SLOTS
    moves_NM = np.take_along_axis(rows.fields["own_moves"], first_N[:, None] + np.arange(MOVE_SLOTS), axis=1)
    known_N: NDArray[np.int64] = (moves_NM != UNKNOWN).sum(axis=1)
    return known_N
