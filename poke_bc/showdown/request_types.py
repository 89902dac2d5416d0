"""The requests that Showdown sends to a player, with the keys that are read; others are dropped.

Source: the interfaces of sim/side.ts (smogon/pokemon-showdown).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict, TypeVar

import msgspec
from msgspec import Meta
from msgspec.json import Decoder

from poke_bc.showdown.record import SkippedBattle

T = TypeVar("T")
_Stat = Annotated[int, Meta(ge=1)]
Stats = TypedDict("Stats", {"atk": _Stat, "def": _Stat, "spa": _Stat, "spd": _Stat, "spe": _Stat})
"""Without HP, before boosts."""


class PokemonRow(TypedDict):
    """One Pokémon of the own team."""

    ident: Annotated[str, Meta(pattern="^p[1-4][a-c]?: ")]
    details: Annotated[str, Meta(min_length=1)]
    condition: str
    moves: list[str]
    active: NotRequired[bool | None]
    stats: NotRequired[Stats | None]
    baseAbility: NotRequired[str | None]
    ability: NotRequired[str | None]
    item: NotRequired[str | None]
    reviving: NotRequired[bool | None]
    commanding: NotRequired[bool | None]
    teraType: NotRequired[str | None]
    terastallized: NotRequired[str | None]


class SideRequest(TypedDict):
    """The own side; its Pokémon in their current order."""

    id: NotRequired[str | None]
    name: NotRequired[str | None]
    pokemon: NotRequired[list[PokemonRow]]


class MoveRow(TypedDict):
    """One move of the active Pokémon."""

    id: str
    move: NotRequired[str | None]
    pp: NotRequired[int | None]
    maxpp: NotRequired[int | None]
    target: NotRequired[str | None]
    disabled: NotRequired[bool | str | None]


class PoweredMove(TypedDict):
    """A Z-Move or Max Move."""

    move: NotRequired[str | None]
    target: NotRequired[str | None]
    disabled: NotRequired[bool | str | None]


class MaxMoves(TypedDict):
    """The Max Moves of the active Pokémon."""

    maxMoves: list[PoweredMove]
    gigantamax: NotRequired[str | None]


class ActiveRow(TypedDict):
    """What the active Pokémon may do."""

    moves: NotRequired[list[MoveRow]]
    trapped: NotRequired[bool | None]
    maybeTrapped: NotRequired[bool | None]
    maybeDisabled: NotRequired[bool | None]
    maybeLocked: NotRequired[bool | None]
    canMegaEvo: NotRequired[bool | str | None]
    canMegaEvoX: NotRequired[bool | str | None]
    canMegaEvoY: NotRequired[bool | str | None]
    canUltraBurst: NotRequired[bool | str | None]
    canZMove: NotRequired[list[PoweredMove | None] | None]
    canDynamax: NotRequired[bool | None]
    maxMoves: NotRequired[MaxMoves]
    canTerastallize: NotRequired[bool | str | None]


class Request(TypedDict):
    """One request."""

    side: NotRequired[SideRequest]
    active: NotRequired[Annotated[list[ActiveRow | None], Meta(min_length=1)]]
    forceSwitch: NotRequired[list[bool] | None]
    teamPreview: NotRequired[bool | None]
    wait: NotRequired[bool | None]
    rqid: NotRequired[int | str | None]
    noCancel: NotRequired[bool | None]


def typed(data: bytes | str | msgspec.Raw, decoder: Decoder[T], path: str) -> T:
    """JSON as what a decoder expects; keys that are not named there are dropped. Raises SkippedBattle.

    >>> typed('{"id": 3}', Decoder(MoveRow), "moves[1]")
    Traceback (most recent call last):
    poke_bc.showdown.record.SkippedBattle: malformed requests: moves[1].id: expected str, got int
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at $")
        raise malformed(f"{path}{where}", f"{what[0].lower()}{what[1:]}") from None


def malformed(path: str, what: str) -> SkippedBattle:
    """The reason to skip a battle whose requests cannot be read."""
    return SkippedBattle("malformed requests", f"{path}: {what}")


def check_request(request: Request, path: str) -> Request:
    """Check that the parts of a request fit each other, and leave out PP that is not known (null).

    Raises SkippedBattle, where `path` names the request.
    """
    active = request.get("active", ())
    for row in active if len(active) == 1 else ():  # not singles: refused by its log, unless the options exclude it
        if row is None:
            raise malformed(f"{path}.active[0]", "null")
        moves = row.get("moves", [])
        for move in moves:
            if move.get("pp") is None or move.get("maxpp") is None:
                move.pop("pp", None)
                move.pop("maxpp", None)
        powered: Sequence[Sequence[PoweredMove | None] | None] = (
            row.get("canZMove"), row["maxMoves"]["maxMoves"] if "maxMoves" in row else None)
        if any(each is not None and len(each) != len(moves) for each in powered):
            raise malformed(f"{path}.active[0]", f"{len(moves)} moves, but another number of Z-Moves or Max Moves")
        team = request.get("side", {}).get("pokemon")
        if team and not any(each.get("active") for each in team):
            raise malformed(f"{path}.side.pokemon", "none is active")
    return request
