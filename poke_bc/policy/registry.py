"""Networks by name, and their options from tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import UsageError
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import nearest
from poke_bc.policy.base import Policy, PolicyOptions
from poke_bc.policy.entity import EntityNetwork, EntityOptions
from poke_bc.policy.history import HistoryNetwork
from poke_bc.policy.mlp import ResidualMLP

POLICIES: dict[str, type[Policy]] = {"entity": EntityNetwork, "history": HistoryNetwork, "mlp": ResidualMLP}
"""Networks by name; `register` adds to them."""
DEFAULT = EntityOptions()


def register(name: str, network: type[Policy]) -> None:
    """Make a network of your own known by a name, in this process. Raises ValueError if the name is taken.

    `poke-bc train --policy package.module:Class` needs no registration.
    """
    if POLICIES.setdefault(name, network) is not network:
        raise ValueError(f"there is a network {name!r} already: {POLICIES[name].__name__}")


def policy_options(table: Mapping[str, Any]) -> PolicyOptions:
    """Options as in TOML: {"name": "mlp", "width": 384} -> MLPOptions(width=384).

    `size` stands for several options ("small", "base", "large"); those that are given as well take precedence.

    Raises UsageError for a network or an option that does not exist, and for a value of the wrong type or range.

    >>> policy_options({"name": "entity", "size": "small", "layers": 3}).flat()["width"]
    64
    """
    given = dict(table)
    name, size = given.setdefault("name", DEFAULT.name), given.pop("size", None)
    options = _network(name).Options
    if size is not None and size not in options.sizes:
        raise UsageError(f"policy.size = {size!r}: network {name!r} has no such size",
                         hint=f"one of: {', '.join(options.sizes)}" if options.sizes else "give policy.width instead")
    return options.of({**options.sizes.get(size, {}), **given}, f"policy {name!r}: ")


def _network(name: str) -> type[Policy]:
    """A network by its name, or imported by `package.module:Class`, also from the current folder."""
    if name in POLICIES:
        return POLICIES[name]
    module, colon, attribute = str(name).partition(":")
    if not colon or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(f"policy.name = {name!r}: there is no such network",
                         hint=f"{nearest(str(name), list(POLICIES))}; your own: package.module:Class")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"policy.name = {name!r}: cannot be imported ({error})",
                         hint="package.module:Class, installed or in the current folder") from None
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise UsageError(f"policy.name = {name!r}: not a subclass of poke_bc.policy.Policy",
                         hint="docs/networks.md shows one")
    return found


def create_policy(policy: str | PolicyOptions, schema: Schema, **options: Any) -> Policy:
    """A new, untrained policy.

    Args:
        policy: name of a network (or `package.module:Class`), or the options of one.
        schema: what its observations hold; `Manifest.schema` carries the vocabulary sizes of the data.
        options: if `policy` is a name, its options, such as `width=256, value_head=False`; see docs/settings.md.

    Raises UsageError as `policy_options` does.

    >>> from poke_bc.contract.schema import load_schema
    >>> create_policy("mlp", load_schema("basic"), width=32, blocks=1).options.width
    32
    """
    chosen = policy_options({"name": policy, **options}) if isinstance(policy, str) else policy
    return _network(chosen.name)(schema, chosen)
