"""Networks by name."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from poke_bc.contract.errors import UsageError
from poke_bc.contract.schema import Schema
from poke_bc.policy.base import Policy
from poke_bc.policy.mlp import ResidualMLP

POLICIES: dict[str, type[Policy]] = {network.name: network for network in (ResidualMLP,)}


def create_policy(name: str, schema: Schema, **options: Any) -> Policy:
    """A new, untrained policy.

    Args:
        name: a key of POLICIES.
        schema: what its observations hold; `Manifest.schema` carries the vocabulary sizes of the data.
        options: keyword arguments of the network, such as `width=256, blocks=3, dropout=0.1, value_head=False`.

    Raises UsageError for a name or an option that does not exist.

    >>> from poke_bc.contract.schema import load_schema
    >>> create_policy("mlp", load_schema("basic"), width=32, blocks=1).options["width"]
    32
    """
    if name not in POLICIES:
        raise UsageError(f"no policy {name!r}", hint=f"one of: {', '.join(POLICIES)}")
    known = [option for option in inspect.signature(POLICIES[name]).parameters if option != "schema"]
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            raise UsageError(f"policy {name!r} has no option {option!r}",
                             hint=f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(known)}")
    return POLICIES[name](schema, **options)
