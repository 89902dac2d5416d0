"""Setting up a run: device, precision, data, optimizer, and checks of its folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import nn
from torch.optim import AdamW

from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.contract.files import exclusively
from poke_bc.contract.split import read_split
from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import Policy, TrainedOn
from poke_bc.train.checkpoint import Checkpoints, writing
from poke_bc.train.config import CONFIG_FILE, FREE_ON_RESUME, TrainConfig

_WIDE_ENOUGH = 64  # from this width on a CPU's bfloat16 was 1.3 to 2 times as fast; at 32 it was slower or equal
LOCK = ".lock"


def pick_device(name: str) -> torch.device:
    """ "auto" takes a GPU if there is one. Raises UsageError for a device that cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used ({str(error).splitlines()[0]})",
                         hint='"auto" takes a GPU if there is one') from None
    return device


def settle_precision(config: TrainConfig, *, resume: bool) -> TrainConfig:
    """`config` with "auto" replaced by the precision of the resumed run, or else by what is faster here.

    The run's config.toml then names the precision, so the run keeps it on any other machine.
    """
    if config.precision != "auto":
        return config
    if resume and (config.run / CONFIG_FILE).is_file():
        return replace(config, precision=TrainConfig.read(config.run).precision)
    device = pick_device(config.device)
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


def captures(config: TrainConfig, device: torch.device) -> bool:
    """Whether steps are captured in a CUDA graph. Raises UsageError if `capture = "on"` without a GPU."""
    if config.capture == "on" and device.type != "cuda":
        raise UsageError(f'capture = "on" needs a CUDA device, and this run is on {device}',
                         hint='capture = "auto" captures where it can')
    return config.capture != "off" and device.type == "cuda"


def check_folder(config: TrainConfig, checkpoints: Checkpoints, *, resume: bool) -> None:
    """Raises UsageError if a new run's folder contains a run, or a resumed one has none or another config."""
    if not resume:
        if checkpoints.any():
            raise UsageError(f"{config.run}: already contains a run",
                             hint="continue it with --resume, or choose another folder with --run")
        return
    if not (config.run / CONFIG_FILE).is_file():
        raise UsageError(f"{config.run}: no run to resume", hint="leave out --resume to start one")
    before, now = TrainConfig.read(config.run).flat(), config.flat()
    changed = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in sorted({*before, *now} - FREE_ON_RESUME)
               if before.get(name) != now.get(name)]
    if changed:
        raise UsageError(f"{config.run}: cannot resume with another configuration: {'; '.join(changed)}",
                       hint="restore these settings, or start a new run: --run")


@contextlib.contextmanager
def working_alone(run: Path) -> Iterator[None]:
    """Keep other training processes from writing to this run. Raises RunError while another one does.

    If the block fails, folders that were created for the lock and contain nothing else are removed.
    """
    made = next((folder for folder in (*reversed(run.parents), run) if not folder.exists()), run)
    busy = RunError(f"{run}: another training process is writing to it", hint="wait for it, or choose another --run")
    with contextlib.ExitStack() as held:
        with writing(run):
            run.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusively(run / LOCK, busy))
        try:  # only now, holding the lock, may the folder be removed
            yield
            (run / LOCK).unlink(missing_ok=True)
        except BaseException:
            if [entry.name for entry in run.iterdir()] == [LOCK]:
                shutil.rmtree(made, ignore_errors=True)
            raise


def open_train(config: TrainConfig) -> ShardDataset:
    """The decisions to learn from. Raises ShardError if there are none."""
    data = ShardDataset(config.shards, "train", censored=config.censored == "marginal")
    if not len(data):
        raise ShardError(f"{config.shards}: the train split has no decision to learn from",
                         hint=f"see what it contains: poke-bc inspect {config.shards}")
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
