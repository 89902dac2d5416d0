"""poke-bc: from human Pokémon Showdown battles to a policy that plays like those humans.

The public names are those in `__all__`; each is imported on first use, so `import poke_bc` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from poke_bc.version import __version__

if TYPE_CHECKING:
    from pipelines.convert import convert_battles as convert
    from pipelines.preprocess import preprocess
    from pipelines.split import split
    from poke_bc.contract.errors import PokeBCError
    from poke_bc.contract.manifest import Manifest
    from poke_bc.contract.schema import Schema, load_schema
    from poke_bc.data.batch import Batch
    from poke_bc.data.dataset import ShardDataset
    from poke_bc.data.feed import BatchFeeder
    from poke_bc.evaluate import evaluate
    from poke_bc.offline_rl import Transitions, transitions
    from poke_bc.play.player import Player
    from poke_bc.policy import Policy, create_policy, load_policy
    from poke_bc.train import TrainConfig, train

__all__ = [
    "Batch", "BatchFeeder", "Manifest", "Player", "PokeBCError", "Policy", "Schema", "ShardDataset", "TrainConfig",
    "Transitions", "__version__", "convert", "create_policy", "evaluate", "load_policy", "load_schema", "preprocess",
    "split", "train", "transitions",
]
_HOMES = {
    "Batch": "poke_bc.data.batch",
    "BatchFeeder": "poke_bc.data.feed",
    "Manifest": "poke_bc.contract.manifest",
    "Player": "poke_bc.play.player",
    "PokeBCError": "poke_bc.contract.errors",
    "Policy": "poke_bc.policy",
    "Schema": "poke_bc.contract.schema",
    "ShardDataset": "poke_bc.data.dataset",
    "TrainConfig": "poke_bc.train",
    "Transitions": "poke_bc.offline_rl",
    "convert": "pipelines.convert",
    "create_policy": "poke_bc.policy",
    "evaluate": "poke_bc.evaluate",
    "load_policy": "poke_bc.policy",
    "load_schema": "poke_bc.contract.schema",
    "preprocess": "pipelines.preprocess",
    "split": "pipelines.split",
    "train": "poke_bc.train",
    "transitions": "poke_bc.offline_rl",
}
_NAMED_THERE = {"convert": "convert_battles"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'poke_bc' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    if _HOMES[name] != f"{__name__}.{name}":  # else it is a module that can be called
        globals()[name] = getattr(home, _NAMED_THERE.get(name, name))
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__file__", "__name__", "__path__"]
