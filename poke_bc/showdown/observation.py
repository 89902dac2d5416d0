"""The observation of the singles schema as one object, which msgspec encodes as a JSON object in the schema's order."""

from __future__ import annotations

from typing import Any

import msgspec

from poke_bc.contract.schema import load_schema

ESTIMATES = ("own_move_damage", "own_move_ko", "own_move_effectiveness", "opp_move_damage", "opp_move_ko",
             "opp_typical_damage", "own_team_threat", "own_team_damage", "speed_advantage",
             "own_stats", "own_stats_filled")
"""Fields that poke_bc.showdown.damage.estimate.add_damage sets; until then they are unset, and not encoded."""
FIELDS = tuple(field.name for field in load_schema("singles").fields)
NO_ESTIMATES, NO_STATS = (msgspec.UNSET,) * (len(ESTIMATES) - 2), (msgspec.UNSET,) * 2
Observation: Any = msgspec.defstruct("Observation", FIELDS, module=__name__, gc=False)
"""One attribute for each field of schema `singles`; a list for fields with more than one value."""
