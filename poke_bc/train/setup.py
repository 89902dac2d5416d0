"""Setting up a run: device, precision, data and optimizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn
from torch.optim import AdamW

from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.split import TRAIN, read_split
from poke_bc.data.batch import COLUMNS
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.policy import Policy, TrainedOn
from poke_bc.train.config import TrainConfig
from poke_bc.train.emphasis import emphasis
from poke_bc.train.ranks import ALONE, Ranks

_WIDE_ENOUGH = 64  # from this width on a CPU's bfloat16 was 1.3 to 2 times as fast; at 32 it was slower or equal


def pick_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """ "auto" takes a GPU if there is one; of several ranks, each takes its own.

    Raises UsageError for a device that cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if ranks.size > 1 and name.startswith("cuda"):
        name = _own_gpu(name, ranks)
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or not (number or "0").isdecimal():
        raise UsageError(f"device {name!r}: expected auto, cpu, cuda or cuda:1",
                         hint='"auto" takes a GPU if there is one')
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used ({str(error).splitlines()[0]})",
                         hint='"auto" takes a GPU if there is one') from None
    return device


def _own_gpu(name: str, ranks: Ranks) -> str:
    """The GPU of a rank, made the current one. Raises UsageError where a GPU was named, or they are too few."""
    there = torch.cuda.device_count()
    if name != "cuda" or there < ranks.local_size:
        raise UsageError(f"device {name!r}: {ranks.local_size} processes, each of which takes a GPU of its own, but "
                         f"{there} of them on this machine", hint='device = "cuda", and torchrun --nproc-per-node with '
                                                                  "at most as many processes as there are GPUs")
    torch.cuda.set_device(ranks.local_rank)
    return f"cuda:{ranks.local_rank}"


def settle(config: TrainConfig, before: TrainConfig | None, ranks: Ranks = ALONE) -> TrainConfig:
    """`config` with what depends on this machine replaced by what the run will keep on any other.

    Paths become absolute, so that `evaluate` finds the shards from any folder. A precision of "auto"
    becomes that of the run that is resumed, whose settings are `before`, or else the one that is faster here.
    """
    config = replace(config, shards=config.shards.resolve(),
                     init_from=None if config.init_from is None else config.init_from.resolve())
    if config.precision != "auto":
        return config
    if before is not None:
        return replace(config, precision=before.precision)
    device = pick_device(config.device, ranks)
    faster = (_multiplies_bfloat16(device) if device.type == "cuda"
              else config.policy.width >= _WIDE_ENOUGH and cpu_has_bfloat16())
    return replace(config, precision="bfloat16" if faster else "float32")


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether this GPU multiplies bfloat16 in hardware; torch answers for the current device only."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX); False if `cpuinfo` cannot be read."""
    try:
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpuinfo.read_text("utf-8", "replace").split())
    except OSError:
        return False


def windows_per_step(config: TrainConfig, steps: range | None, ranks: Ranks = ALONE) -> int:
    """Samples that an update takes: rows, or so many sequences that they have `batch_size` steps.

    A sequence of S steps has a loss on each of them, so an update takes batch_size // S of them, and an epoch is as
    many updates as with single rows. Raises UsageError if not even one fits, or `ranks` cannot share them evenly.
    """
    windows = config.batch_size // len(steps or (0,))
    if not windows:
        raise UsageError(f"batch_size = {config.batch_size}: less than the {len(steps or ())} steps of one sequence, "
                         "each of which counts as a decision", hint="make batch_size larger")
    if windows % ranks.size:
        of_sequences = "" if steps is None else f" of {len(steps)} steps, so {windows:,} sequences,"
        shares = ", ".join(str(each) for each in range(1, min(windows, 128) + 1) if windows % each == 0)
        raise UsageError(f"batch_size = {config.batch_size}:{of_sequences} cannot be shared by {ranks.size} processes "
                         "evenly", hint=f"torchrun --nproc-per-node with one of {shares}, or another batch_size")
    return windows


def captures(config: TrainConfig, device: torch.device, ranks: Ranks = ALONE) -> bool:
    """Whether steps are captured in a CUDA graph: not with several ranks, between which each step has to travel.

    Raises UsageError if `capture = "on"` and cannot be.
    """
    if config.capture == "on" and ranks.size > 1:
        raise UsageError('capture = "on": with several processes, steps are not captured',
                         hint='capture = "auto" captures where it can')
    if config.capture == "on" and device.type != "cuda":
        raise UsageError(f'capture = "on" needs a CUDA device, and this run is on {device}',
                         hint='capture = "auto" captures where it can')
    return config.capture != "off" and device.type == "cuda" and ranks.size == 1


def open_train(config: TrainConfig, shards: Shards, steps: range | None = None,
               chosen_T: NDArray[np.bool_] | None = None) -> ShardDataset:
    """The decisions to learn from; with `steps`, which must contain 0, the sequences around them.

    Args:
        config: decides on columns, censored rows, and the trajectories' factors.
        shards: with a split.
        steps: of the policy.
        chosen_T: trajectories for which `config.where` holds; None: all.

    Raises ShardError if there are none, or none has a weight.
    """
    _, split_T = read_split(shards.folder, shards.manifest.identity)
    learned_T = split_T == TRAIN if chosen_T is None else (split_T == TRAIN) & chosen_T
    factors_T = emphasis(config, shards, learned_T)
    if factors_T is not None and not (config.value_weight and config.policy.value_head):
        learned_T &= factors_T > 0
    columns = (*COLUMNS, *["gimmick"] * (config.gimmick_weight > 0), *["factor"] * (factors_T is not None))
    data = ShardDataset(shards, "train", columns=columns, steps=steps, censored=config.censored == "marginal",
                        chosen=learned_T, factors=factors_T)
    if not len(data):
        of_those = f" where {config.where}" if config.where else ""
        raise ShardError(f"{config.shards}: the train split has no decision to learn from{of_those}",
                         hint=f"see what it contains: poke-bc inspect {config.shards}")
    if not any(weights.any() for weights in data.chunks("weight")):
        raise ShardError(f"{config.shards}: every decision of the train split has weight 0: there is nothing to learn",
                         hint='leave out "weight" in the trajectories, or set it above 0 where a decision counts')
    return data


def trained_on(data: ShardDataset) -> TrainedOn:
    """Identifies the training data, which must be the same when the run is resumed."""
    split, _ = read_split(data.shards.folder, data.manifest.identity)
    action_M = data.column("action")
    counts_A = np.bincount(action_M[action_M != NO_LABEL], minlength=NUM_ACTIONS)
    return TrainedOn(data=data.manifest.identity, split=split.file_xxh3, decisions=len(data),
                     actions=tuple(counts_A.tolist()))


def make_optimizer(policy: Policy, config: TrainConfig, *, capturable: bool = False) -> AdamW:
    """AdamW; weight decay on the matrices of linear layers alone (see TrainConfig.weight_decay).

    With `capturable`, the learning rate is a tensor on the device, which every captured step reads.
    """
    decayed = [module.weight for module in policy.modules() if isinstance(module, nn.Linear)]
    decayed_ids = {id(weight) for weight in decayed}
    others = [weight for weight in policy.parameters() if id(weight) not in decayed_ids]
    rate = torch.tensor(config.lr, dtype=torch.float32, device=policy.device) if capturable else config.lr
    return AdamW([{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
                 lr=rate, fused=True, capturable=capturable)
