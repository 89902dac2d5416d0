"""Whether a training fits into memory, estimated before any is taken."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from poke_bc.contract.errors import UsageError
from poke_bc.contract.rows import row_bytes
from poke_bc.contract.schema import Schema
from poke_bc.data.shards import memory_bytes
from poke_bc.policy import create_policy
from poke_bc.train.config import TrainConfig
from poke_bc.train.ranks import ALONE, Ranks

_COPIES = 4
"""Float32 numbers for each weight: itself, its gradient, and two moments."""
_CGROUP = Path("/sys/fs/cgroup")


def check_memory(config: TrainConfig, schema: Schema, device: torch.device, ranks: Ranks = ALONE) -> None:
    """Raises UsageError if the weights and one batch, of all ranks on `device`, need more than it has free.

    A lower bound: what a network computes in between is left out, apart from its input and the gradient of that.
    """
    options = config.policy
    weights = 4 * _COPIES * _parameters(config, schema)
    row = 3 * row_bytes(schema) + 8 * (schema.category_width * options.embedding + schema.number_width)
    copies = 1 if device.type == "cuda" else ranks.local_size
    weights, batch = copies * weights, copies * config.batch_size * row // ranks.size
    needed, free = weights + batch, free_memory(device)
    if needed > free:
        sizes = {name: value for name, value in options.to_dict().items() if isinstance(value, int)}
        named = ", ".join(f"policy.{name} = {value}" for name, value in sizes.items() if not isinstance(value, bool))
        raise UsageError(
            f"{named}, batch_size = {config.batch_size}: the weights need {weights / 1e9:,.1f} GB and a batch "
            f"{batch / 1e9:,.1f} GB, but {device} has {free / 1e9:,.1f} GB free",
            hint="make the network or the batch smaller")


def _parameters(config: TrainConfig, schema: Schema) -> int:
    """Weights of the network, built without memory; 0 for one that cannot be built so."""
    with contextlib.suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        return create_policy(config.policy, schema).parameter_count
    return 0


def free_memory(device: torch.device) -> int:
    """Bytes: of a GPU; else what this process may still take, by /proc/meminfo and its control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = memory_bytes()
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        free = min(free, next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        limit, used = (int((_CGROUP / f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
        used_for = dict(line.split() for line in (_CGROUP / "memory.stat").read_text("ascii").splitlines())
        cached = int(used_for.get("active_file", 0)) + int(used_for.get("inactive_file", 0))  # given back when needed
        free = min(free, limit - used + cached)
    return free
