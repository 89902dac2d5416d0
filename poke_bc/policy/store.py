"""A policy as a folder that people can share.

    config.json          the network and its options, versions, what it was trained on, digests of the other files
    policy.safetensors   the weights, and which ids training saw
    schema.json          the complete schema
    vocabularies.json    size and names of each vocabulary
    README.md            the model card
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch.overrides import TorchFunctionMode

from poke_bc.contract.errors import PokeBCError, RunError, UsageError
from poke_bc.contract.files import atomic_write, checksummed, digest_file, read_checksummed, write_json
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.schema import Schema, schema_from_dict
from poke_bc.policy.base import Policy, TrainedOn
from poke_bc.policy.card import model_card
from poke_bc.policy.hub import Pushed, download, is_on_hub, upload
from poke_bc.policy.inputs import UNKNOWN_ROW
from poke_bc.policy.registry import create_policy, policy_options
from poke_bc.version import __version__

POLICY_FORMAT = 1
"""Increased whenever an older reader would misread the folder."""

CONFIG, WEIGHTS, SCHEMA, VOCABULARIES, CARD = (
    "config.json", "policy.safetensors", "schema.json", "vocabularies.json", "README.md")
FILES = (WEIGHTS, SCHEMA, VOCABULARIES, CARD, CONFIG)
_LARGEST_RATIO, _ALWAYS_TAKEN = 4, 256 << 20
"""A network may take so many times the bytes of its weights' file, and so many more for what is not saved."""
_HASHED = (WEIGHTS, SCHEMA, VOCABULARIES)
_HINT = "give a policy folder, or a run folder of `poke-bc train`"


def save_policy(policy: Policy, folder: Path, card: Mapping[str, Any] | None = None) -> None:
    """Write `policy` into `folder`, which is created if needed.

    Args:
        policy: in any mode, on any device.
        folder: its files are replaced one by one; config.json comes last, with the digests of the others.
        card: facts for the model card, see `card.model_card`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS) as file:
        file.write(safetensors.torch.save({name: tensor.detach().cpu().contiguous()
                                           for name, tensor in policy.state_dict().items()}))
    write_json(folder / SCHEMA, policy.schema.to_dict())
    write_json(folder / VOCABULARIES, {name: {"size": vocabulary.size, "names": vocabulary.names}
                                       for name, vocabulary in policy.schema.vocabularies.items()})
    with atomic_write(folder / CARD) as file:
        file.write(model_card(policy, card or {}).encode(errors="backslashreplace"))
    config = _Config(
        format=POLICY_FORMAT, producer=__version__, policy=policy.options.to_dict(),
        schema={"name": policy.schema.name, "version": policy.schema.version, "hash": policy.schema.hash},
        trained_on=policy.trained_on,
        files={name: digest_file(folder / name) for name in _HASHED})
    write_json(folder / CONFIG, checksummed(msgspec.to_builtins(config)))


def push_policy(path: str | Path, name: str, *, checkpoint: str = "best", private: bool = False) -> Pushed:
    """Upload a policy with its model card to the Hugging Face Hub. Takes and raises what `load_policy` and
    `hub.upload` do."""
    folder = policy_folder(path, checkpoint)
    load_policy(folder)  # what cannot be loaded here could not be loaded there
    return upload(folder, name, FILES, private=private)


class _Config(msgspec.Struct, kw_only=True):
    """config.json."""

    format: int
    producer: str
    policy: dict[str, Any]
    """The network's table of settings."""
    schema: dict[str, Any]
    trained_on: TrainedOn | None
    files: dict[str, str]
    """Name -> xxh3."""


def load_policy(path: str | Path, *, device: str | torch.device = "cpu", checkpoint: str = "best") -> Policy:
    """A saved policy, ready to act (in eval mode).

    Args:
        path: a policy folder, a checkpoint folder, a run folder, or `hub:NAME` or `hub:NAME@REVISION` on the Hugging
            Face Hub.
        device: the device to load the weights to.
        checkpoint: in a run folder: "best" ("last" where no evaluation chose one), "last", or "step-00000500".

    Raises UsageError if it is missing, RunError if it is damaged or of another format version, and for the Hub what
    `hub.download` raises.
    """
    folder = policy_folder(path, checkpoint)
    config = _read_config(folder)
    for name in _HASHED:
        if not (folder / name).is_file() or digest_file(folder / name) != config.files.get(name):
            raise RunError(f"{folder / name}: missing, or damaged (its digest does not match)",
                           hint="use another checkpoint, or copy the policy again")
    try:
        options, schema = policy_options(config.policy), _read_schema(folder)
        with _Budget(folder / WEIGHTS):
            policy = create_policy(options, schema)
        policy.load_state_dict(safetensors.torch.load((folder / WEIGHTS).read_bytes()))
    except (PokeBCError, RuntimeError, safetensors.SafetensorError) as error:
        raise RunError(f"{folder}: made by poke-bc {config.producer}, cannot be built by {__version__} "
                       f"({str(error).splitlines()[0]})", hint=f"pip install poke-bc=={config.producer}") from None
    policy.trained_on = config.trained_on
    return policy.to(device).eval()


def policy_folder(path: str | Path, checkpoint: str = "best") -> Path:
    """The policy's own folder, from a policy, checkpoint or run folder, or the Hub. Raises UsageError."""
    path = download(path, FILES) if is_on_hub(path) else Path(path)
    named = [checkpoint, f"checkpoints/{checkpoint}", *(["last"] if checkpoint == "best" else [])]
    for inside in (".", "policy", *(f"{name}/policy" for name in named)):
        if (path / inside / CONFIG).is_file():
            return path / inside
    if not path.exists():
        raise UsageError(f"{path}: does not exist", hint=_HINT)
    there = sorted(each.parts[-3] for depth in ("*", "checkpoints/*") for each in path.glob(f"{depth}/policy/{CONFIG}"))
    raise UsageError(f"{path}: no policy here (checkpoint {checkpoint!r})",
                       hint=f"--checkpoint is one of {', '.join(there)}" if there else _HINT)


def check_fits(policy: Policy, manifest: Manifest) -> None:
    """Raises RunError if the schema of the shards is not the policy's."""
    mine, theirs = policy.schema, manifest.schema
    if mine.hash != theirs.hash:
        raise RunError(f"the policy reads {_named(mine)}, the shards hold {_named(theirs)}",
                       hint="make shards with the policy's schema: poke-bc preprocess RAW.jsonl --schema ...")


def _named(schema: Schema) -> str:
    return f"schema {schema.name} version {schema.version} ({schema.hash})"


def saved_options(path: str | Path) -> dict[str, Any]:
    """The table of settings of a saved policy's network. Takes and raises what `load_policy` does."""
    return _read_config(policy_folder(path)).policy


def start_from(policy: Policy, path: str | Path) -> None:
    """Give a new policy, which has noted what it will see, the weights of a saved one.

    Ids that either has seen keep an embedding. Raises RunError if the schema or a shape is another one.
    """
    saved = load_policy(path)
    if saved.schema.hash != policy.schema.hash:
        raise RunError(f"{path}: reads {_named(saved.schema)}, the shards hold {_named(policy.schema)}",
                       hint="start from a policy of the same schema")
    own = policy.ids.row_of_id.clone()
    try:
        policy.load_state_dict(saved.state_dict())
    except RuntimeError as error:
        first = next(line.strip() for line in str(error).splitlines()[1:])
        raise RunError(f"{path}: another network, or other sizes of vocabularies ({first})",
                       hint="start from a policy with the same network and data of the same writer") from None
    with torch.no_grad():
        seen = policy.ids.row_of_id
        seen.copy_(torch.where(seen == UNKNOWN_ROW, own, seen))
    if policy.trained_on is not None:
        policy.trained_on = msgspec.structs.replace(policy.trained_on, after=saved.trained_on)


def _read_config(folder: Path) -> _Config:
    hint = "use another checkpoint, or the poke-bc that wrote it"
    return read_checksummed(folder / CONFIG, _Config, RunError, version=("format", POLICY_FORMAT), hint=hint)


def _read_schema(folder: Path) -> Schema:
    """The schema with its vocabularies' sizes; the digests of both files have been checked."""
    try:
        table, vocabularies = (json.loads((folder / name).read_bytes()) for name in (SCHEMA, VOCABULARIES))
        sizes = {name: each["size"] for name, each in vocabularies.items()}
        return schema_from_dict(table, str(folder / SCHEMA)).with_sizes(sizes)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"schema or vocabularies are damaged ({error})", hint="copy the policy again") from None


class _Budget(TorchFunctionMode):
    """Context that bounds the memory of the tensors made in it: a network is as large as config.json says, its weights
    as large as their file. Raises RunError before anything is written to one that is too large."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self._weights, self._left = weights, _LARGEST_RATIO * weights.stat().st_size + _ALWAYS_TAKEN
        self._seen: set[int] = set()

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        made = function(*arguments, **(keywords or {}))
        if isinstance(made, torch.Tensor) and (memory := made.untyped_storage()).data_ptr() not in self._seen:
            self._seen.add(memory.data_ptr())
            self._left -= memory.nbytes()
            if self._left < 0:
                raise RunError(f"{CONFIG} describes a network that is larger by far than {self._weights.name}",
                               hint="copy the policy again")
        return made
