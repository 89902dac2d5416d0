"""What a run starts from: the device, the data, the optimizer, and whether the folder may be used."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.contract.files import exclusively
from poke_bc.contract.split import read_split
from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import Policy
from poke_bc.train.checkpoint import Checkpoints, writing
from poke_bc.train.config import CONFIG_FILE, FREE_ON_RESUME, TrainConfig, read_toml

_WIDE_ENOUGH = 64  # from this width on a processor's bfloat16 was 1.3 to 2 times as fast; at 32 it was slower or equal
LOCK = ".lock"


def pick_device(name: str) -> torch.device:
    """ "auto" takes a GPU where there is one. Raises UsageError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used ({str(error).splitlines()[0]})",
                         hint='"auto" takes a GPU where there is one') from None
    return device


def settle_precision(config: TrainConfig, *, resume: bool) -> TrainConfig:
    """`config` with "auto" replaced by what the resumed run was made with, or else by what is faster here.

    The run's config.toml so names the precision itself, and a run goes on with it on any other machine.
    """
    if config.precision != "auto":
        return config
    if resume and (config.run / CONFIG_FILE).is_file():
        return dataclasses.replace(config, precision=recorded(config).precision)
    device = pick_device(config.device)
    faster = (_multiplies_bfloat16(device) if device.type == "cuda"
              else config.width >= _WIDE_ENOUGH and processor_has_bfloat16())
    return dataclasses.replace(config, precision="bfloat16" if faster else "float32")


def recorded(config: TrainConfig) -> TrainConfig:
    """What the run of `config` was made with, by its config.toml.

    Runs that still say "auto" there were made when that meant bfloat16 on GPUs, and float32 on every processor.
    """
    before = TrainConfig(**read_toml(config.run / CONFIG_FILE))
    if before.precision != "auto":
        return before
    device = pick_device(config.device)
    halved = device.type == "cuda" and _multiplies_bfloat16(device)
    return dataclasses.replace(before, precision="bfloat16" if halved else "float32")


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether this GPU does so itself; asked without its number, torch answers for the current one."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def processor_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16, AMX); False where Linux does not tell.

    Args:
        cpuinfo: the kernel's description of the processors.
    """
    try:
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpuinfo.read_text("utf-8", "replace").split())
    except OSError:
        return False


def captures(config: TrainConfig, device: torch.device) -> bool:
    """Whether steps are captured in a graph. Raises UsageError where that is asked of a CPU."""
    if config.capture == "on" and device.type != "cuda":
        raise UsageError(f'capture = "on" needs a CUDA device, and this run is on {device}',
                         hint='capture = "auto" captures where it can')
    return config.capture != "off" and device.type == "cuda"


def check_folder(config: TrainConfig, checkpoints: Checkpoints, *, resume: bool) -> None:
    """Whether the run's folder may be used.

    Raises UsageError for a new run in the folder of another, and RunError for a resumed one that is not there
    or would not be the same run any more.
    """
    if not resume:
        if checkpoints.any():
            raise UsageError(f"{config.run}: there is a run already",
                             hint="go on with it: --resume, or name another folder: --run")
        return
    if not (config.run / CONFIG_FILE).is_file():
        raise RunError(f"{config.run}: no run to resume", hint="leave --resume out to start one")
    before, now = recorded(config).to_dict(), config.to_dict()
    changed = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in sorted({*before, *now} - FREE_ON_RESUME)
               if before.get(name) != now.get(name)]
    if changed:
        raise RunError(f"{config.run}: cannot go on with another configuration: {'; '.join(changed)}",
                       hint="take these back, or start a new run: --run")


@contextlib.contextmanager
def working_alone(run: Path) -> Iterator[None]:
    """Only one training at a time may write to a run. Raises RunError while another does.

    Folders that were made for the lock and hold nothing else at the end are removed.
    """
    made = next((folder for folder in (*reversed(run.parents), run) if not folder.exists()), run)
    busy = RunError(f"{run}: another training is writing here", hint="wait for it, or choose another --run")
    with contextlib.ExitStack() as held:
        with writing(run):
            run.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusively(run / LOCK, busy))
        try:  # only from here on is the folder ours to remove
            yield
            (run / LOCK).unlink(missing_ok=True)
        except BaseException:
            if [entry.name for entry in run.iterdir()] == [LOCK]:
                shutil.rmtree(made, ignore_errors=True)
            raise


def open_train(config: TrainConfig) -> ShardDataset:
    """The rows to learn from. Raises ShardError where there are none."""
    data = ShardDataset(config.shards, "train", censored=config.censored == "marginal")
    if not len(data):
        raise ShardError(f"{config.shards}: the train part has no decision to learn from",
                         hint=f"see what is in it: poke-bc inspect {config.shards}")
    return data


def identity(data: ShardDataset) -> dict[str, Any]:
    """What a run was trained on; must be the same when it goes on."""
    split, _ = read_split(data.shards.folder, data.manifest.identity)
    return {"data": data.manifest.identity, "split": split.file_xxh3, "decisions": len(data)}


def make_optimizer(policy: Policy, config: TrainConfig, *, capturable: bool = False) -> AdamW:
    """AdamW; weight decay on the matrices of linear layers alone (see TrainConfig.weight_decay).

    With `capturable` its learning rate is a tensor beside the weights, which captured steps read anew each time.
    """
    decayed = [module.weight for module in policy.modules() if isinstance(module, nn.Linear)]
    apart = {id(weight) for weight in decayed}
    others = [weight for weight in policy.parameters() if id(weight) not in apart]
    rate = torch.tensor(config.lr, dtype=torch.float32, device=policy.device) if capturable else config.lr
    return AdamW([{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
                 lr=rate, fused=True, capturable=capturable)
