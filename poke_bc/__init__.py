"""poke-bc: from human Pokémon Showdown battles to a policy that plays like those humans.

The public names are those in `__all__`; each is imported on first use, so `import poke_bc` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from poke_bc.version import __version__

if TYPE_CHECKING:
    from poke_bc.contract.errors import PokeBCError as PokeBCError
    from poke_bc.contract.manifest import Manifest as Manifest
    from poke_bc.contract.schema import Schema as Schema
    from poke_bc.contract.schema import load_schema as load_schema
    from poke_bc.data.batch import Batch as Batch
    from poke_bc.data.dataset import ShardDataset as ShardDataset
    from poke_bc.data.feed import BatchFeeder as BatchFeeder
    from poke_bc.policy import create_policy as create_policy
    from poke_bc.policy import load_policy as load_policy


_HOMES = {
    "PokeBCError": "poke_bc.contract.errors",
    "Manifest": "poke_bc.contract.manifest",
    "Schema": "poke_bc.contract.schema",
    "load_schema": "poke_bc.contract.schema",
    "Batch": "poke_bc.data.batch",
    "ShardDataset": "poke_bc.data.dataset",
    "BatchFeeder": "poke_bc.data.feed",
    "create_policy": "poke_bc.policy",
    "load_policy": "poke_bc.policy",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'poke_bc' has no attribute {name!r}")
