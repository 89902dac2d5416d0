"""Networks by name, and their options from tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poke_bc.contract.errors import UsageError
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import nearest
from poke_bc.policy.base import Policy, PolicyOptions
from poke_bc.policy.mlp import MLPOptions, ResidualMLP

POLICIES: dict[str, type[Policy]] = {"mlp": ResidualMLP}
"""Networks by name, which is also the tag of their options."""
DEFAULT = MLPOptions()


def policy_options(table: Mapping[str, Any]) -> PolicyOptions:
    """Options as in TOML: {"name": "mlp", "width": 384} -> MLPOptions(width=384).

    Raises UsageError for a network or an option that does not exist, and for a value of the wrong type or range.
    """
    options = {**table}
    name = options.pop("name", DEFAULT.name)
    if name not in POLICIES:
        raise UsageError(f"policy.name = {name!r}: there is no such network", hint=nearest(str(name), list(POLICIES)))
    return POLICIES[name].Options.of(options, f"policy {name!r}: ")


def create_policy(policy: str | PolicyOptions, schema: Schema, **options: Any) -> Policy:
    """A new, untrained policy.

    Args:
        policy: a key of POLICIES, or the options of a network.
        schema: what its observations hold; `Manifest.schema` carries the vocabulary sizes of the data.
        options: if `policy` is a name, its options, such as `width=256, value_head=False`; see docs/settings.md.

    Raises UsageError as `policy_options` does.

    >>> from poke_bc.contract.schema import load_schema
    >>> create_policy("mlp", load_schema("basic"), width=32, blocks=1).options.width
    32
    """
    chosen = policy_options({"name": policy, **options}) if isinstance(policy, str) else policy
    return POLICIES[chosen.name](schema, chosen)
