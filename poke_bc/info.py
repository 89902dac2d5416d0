"""info: what a bug report needs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from pipelines.decode import describe
from poke_bc.contract.rows import FORMAT_VERSION
from poke_bc.contract.schema import SHIPPED, load_schema
from poke_bc.contract.split import SPLIT_VERSION
from poke_bc.version import __version__

PACKAGES = ("torch", "numpy", "pyarrow", "polars", "typer", "rich", "safetensors", "xxhash", "msgspec", "numba",
            "poke-env", "wandb", "tensorboard")


def info() -> dict[str, Any]:
    """Versions, machine and devices as plain values."""
    return {
        "poke-bc": __version__,
        "format": FORMAT_VERSION,
        "split": SPLIT_VERSION,
        "schemas": {name: load_schema(name).hash for name in SHIPPED},
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "decoder": describe(),
        "devices": _devices(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [*gpus, f"cpu ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"]
