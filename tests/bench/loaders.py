"""Feeding against the loaders that people use: the same rows, batch size and columns, nothing parsed any more.

Each peer gets the rows in its own format, written beforehand and not timed, and hands out shuffled batches of
tensors. Before anything is timed every peer goes through one epoch, whose sums must be ours.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from pipelines.preprocess import preprocess
from poke_bc import BatchFeeder, ShardDataset
from tests.bench.common import Line, enlarged_sample, line_of, rates, sized

BATCH = 1024
COLUMNS = ("category", "number", "legal", "action")
Columns = dict[str, NDArray[Any]]
Feed = Callable[[int], Iterator[dict[str, Tensor]]]
"""So many samples, shuffled, in batches; an epoch's worth has every row once."""


@dataclass(frozen=True)
class Loader:
    """A way to feed, timed over so many samples a round: fewer where they come slowly."""

    name: str
    feed: Feed
    samples: int
    target: str = "(none)"


def run(folder: Path) -> Iterator[Line]:
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                   "HF_HOME": str(folder / "hf"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "DO_NOT_TRACK": "1"}
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # streaming's
    raw, shards = folder / "raw.jsonl", folder / "shards"
    enlarged_sample(raw, sized(150))
    preprocess([raw], shards, workers=1)
    data = ShardDataset(shards, every_row=True)
    columns = columns_of(data)
    ours = Loader("ours", batch_feeder(data), sized(2_000_000))
    loaders = [ours, *peers(data, columns, folder)]
    expected = sums([{name: torch.from_numpy(column) for name, column in columns.items()}])
    for loader in loaders:
        if sums(loader.feed(len(data))) != expected:
            raise AssertionError(f"{loader.name}: other rows than ours")
    found = rates({loader.name: _drain(loader) for loader in loaders},
                  {loader.name: loader.samples for loader in loaders})
    for loader in loaders[1:]:
        yield line_of(f"BatchFeeder, shuffled, batches of {BATCH} : {loader.name}", "samples/s", found[ours.name],
                      found[loader.name], target=loader.target)


def columns_of(data: ShardDataset) -> Columns:
    """What is fed; bits as int16, for which torch has every operation."""
    columns = {name: data.column(name) for name in COLUMNS}
    return columns | {"legal": columns["legal"].view(np.int16)}


def peers(data: ShardDataset, columns: Columns, folder: Path) -> Iterator[Loader]:
    """All that are installed, each with its own copy of the rows."""
    some = min(len(data), sized(131_072))
    yield Loader("DataLoader with __getitems__, no workers", data_loader(data), some)
    yield Loader("DataLoader with __getitems__, 2 workers", data_loader(data, 2), some)
    yield Loader("DataLoader, one item at a time, no workers", data_loader(OneByOne(data)), some)
    yield Loader("DataLoader, one item at a time, 2 workers", data_loader(OneByOne(data), 2), some)
    if _installed("tensordict"):
        yield Loader("tensordict, memory-mapped", tensordict_memmap(columns, folder / "tensordict"), len(data))
    if _installed("datasets"):
        yield Loader("Hugging Face datasets, torch format, DataLoader", hugging_face(columns, folder), some // 2)
    if _installed("litdata"):
        yield Loader("litdata, StreamingDataLoader", litdata_streaming(columns, folder / "litdata"), some)
    if _installed("streaming", stub=True):
        yield Loader("mosaicml-streaming, DataLoader", mosaic_streaming(columns, folder / "mosaic"), some // 2)


def sums(batches: Sequence[dict[str, Tensor]] | Iterator[dict[str, Tensor]]) -> list[float]:
    """Rows, and the sum of every column, whatever the order: halves add up exactly in doubles."""
    found = [0.0] * (1 + len(COLUMNS))
    for batch in batches:
        values = [float(len(batch["action"])), *(batch[name].double().sum().item() for name in COLUMNS)]
        found = [total + value for total, value in zip(found, values, strict=True)]
    return found


def _drain(loader: Loader) -> Callable[[], None]:
    def drain() -> None:
        for batch in loader.feed(loader.samples):
            batch["action"].sum()
    return drain


def batch_feeder(data: ShardDataset) -> Feed:
    def feed(samples: int) -> Iterator[dict[str, Tensor]]:
        with BatchFeeder(data, BATCH, seed=1, stop=samples) as feeder:
            for batch in feeder:
                yield {name: getattr(batch, name) for name in COLUMNS}
    return feed


class OneByOne(Dataset[dict[str, Tensor]]):
    """A map-style dataset as most are written: an item at a time."""

    def __init__(self, data: ShardDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.data[index]


def data_loader(data: Any, workers: int = 0) -> Feed:
    """torch's, whose workers live as long as it does; they are forked, as is its default."""
    loaders: dict[int, DataLoader[Any]] = {}

    def feed(samples: int) -> Iterator[dict[str, Tensor]]:
        if samples not in loaders:
            loaders[samples] = DataLoader(data, BATCH, sampler=RandomSampler(data, num_samples=samples),
                                          num_workers=workers, persistent_workers=workers > 0)
        yield from loaders[samples]
    return feed


def tensordict_memmap(columns: Columns, folder: Path) -> Feed:
    from tensordict import TensorDict

    rows = len(columns["action"])
    tensors = {name: torch.from_numpy(_signed(column)) for name, column in columns.items()}
    data = TensorDict(tensors, batch_size=[rows]).memmap(folder)

    def feed(samples: int) -> Iterator[dict[str, Tensor]]:
        for places in torch.randperm(rows)[:samples].split(BATCH):
            yield data[places]
    return feed


def hugging_face(columns: Columns, folder: Path) -> Feed:
    import datasets

    path = folder / "rows.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
    data = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "hf"))
    return data_loader(data.with_format("torch"))


def litdata_streaming(columns: Columns, folder: Path) -> Feed:
    import litdata
    from litdata.streaming.cache import Cache

    tensors = {name: torch.from_numpy(_signed(column)) for name, column in columns.items()}
    cache = Cache(str(folder), chunk_bytes="64MB")
    for place in range(len(columns["action"])):
        cache[place] = {name: tensor[place] for name, tensor in tensors.items()}
    cache.done()
    cache.merge()
    data = litdata.StreamingDataset(str(folder), shuffle=True)
    return lambda samples: _first(samples, litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=0))


def mosaic_streaming(columns: Columns, folder: Path) -> Feed:
    import streaming

    kinds = {name: f"ndarray:{column.dtype}:{column.shape[1]}" if column.ndim > 1 else str(column.dtype)
             for name, column in columns.items()}
    with streaming.MDSWriter(out=str(folder), columns=kinds) as out:
        for row in zip(*columns.values(), strict=True):
            out.write(dict(zip(columns, row, strict=True)))
    data = streaming.StreamingDataset(local=str(folder), batch_size=BATCH, shuffle=True)

    def feed(samples: int) -> Iterator[dict[str, Tensor]]:
        try:
            yield from _first(samples, DataLoader(data, BATCH))
        finally:
            data._iterator.exit()  # or its threads go on looking ahead, and slow down whoever is timed next
    return feed


def _first(samples: int, batches: Any) -> Iterator[dict[str, Tensor]]:
    """Batches until there are so many samples."""
    for batch in batches:
        yield batch
        samples -= len(batch["action"])
        if samples <= 0:
            return


def _signed(column: NDArray[Any]) -> NDArray[Any]:
    """uint16 as int16: torch has few operations for the former."""
    return column.view(np.int16) if column.dtype == np.uint16 else column


# mosaicml-streaming imports these for pictures and for tokenised text, which are not needed here.
_STUBS = ("torchvision.datasets.VisionDataset", "torchvision.datasets.CIFAR10",
          "torchvision.transforms.functional.to_tensor", "transformers.feature_extraction_utils.BatchFeature",
          "transformers.tokenization_utils_base.BatchEncoding",
          "transformers.models.auto.tokenization_auto.AutoTokenizer")


def _installed(name: str, *, stub: bool = False) -> bool:
    stubs: dict[str, ModuleType] = {}
    for dotted in _STUBS if stub else ():
        module, _, wanted = dotted.rpartition(".")
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            stubs.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        setattr(stubs[module], wanted, type(wanted, (), {}))
    before = {module: sys.modules.get(module) for module in stubs}
    sys.modules.update(stubs)
    try:
        importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: not compared (just bench installs it)", file=sys.stderr)
        return False
    finally:
        for module, there in before.items():
            if there is None:
                sys.modules.pop(module)
            else:
                sys.modules[module] = there
    return True
