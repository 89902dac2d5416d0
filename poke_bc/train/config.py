"""The configuration of a run: defaults < TOML < flags, resolved once and written into the run."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import atomic_write
from poke_bc.data.windows import CHUNK_ROWS

CONFIG_FILE = "config.toml"
CENSORED = ("skip", "marginal")
PRECISIONS = ("auto", "float32", "bfloat16")
ORDERS = ("global", "window")
CAPTURES = ("auto", "on", "off")
_EXPLAINED = "all settings: docs/settings.md"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides how a run goes. Raises UsageError for values that cannot be meant."""

    shards: Path = Path("data/shards")
    """Folder of shards, preprocessed and split."""
    run: Path = Path("runs/bc")
    """Folder of the run; must not hold another one."""

    policy: str = "mlp"
    """Which network."""
    width: int = 256
    """Width of the network."""
    blocks: int = 3
    """Residual blocks."""
    dropout: float = 0.1
    """Share of each block's output dropped in training."""
    embedding: int = 24
    """Width of the embeddings of category fields."""
    value_head: bool = False
    """Give the network a second head that predicts the reward still to come."""

    epochs: float = 10
    """Passes over the training rows; not used where `steps` is given."""
    steps: int | None = None
    """Updates in all, instead of `epochs`."""
    batch_size: int = 1024
    """Decisions of an update. Batches run on over epoch borders and are always full; take a smaller one where an
    epoch has only a few thousand decisions."""
    lr: float = 2e-3
    """Highest learning rate. On 9,000 to 90,000 decisions 1e-3 to 3e-3 came to the same with batches of 512 to 1024."""
    warmup: float = 0.05
    """Linear warm-up: below 1 a share of all steps, from 1 on a number of steps."""
    min_lr_ratio: float = 0.05
    """The cosine ends at this share of `lr`."""
    weight_decay: float = 0.01
    """AdamW's, on the matrices of linear layers only: biases and norms have no need of it, and embeddings of
    rare ids would be decayed in every step but learn in few."""
    grad_clip: float = 1.0
    """Largest norm of the gradient."""
    label_smoothing: float = 0.1
    """Share of the target spread over the legal actions."""
    censored: str = "skip"
    """Choices that nobody saw: "skip" leaves them out, "marginal" trains on the sum over their candidates."""
    value_weight: float = 0.0
    """Weight of the value head's squared error beside the imitation loss."""
    seed: int = 42
    """Of the weights, the order of samples and dropout."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1"."""
    precision: str = "auto"
    """Of matrix products in training: "float32", "bfloat16", or "auto", settled when the run begins: bfloat16 on a GPU,
    and from width 64 on also on a processor with AVX512-BF16 or AMX. Evaluation is always float32."""
    capture: str = "auto"
    """Capture the step in a CUDA graph and replay it: "auto" (on a GPU), "on" or "off"."""
    order: str = "global"
    """Of samples: "global" shuffles all rows of an epoch; "window" shuffles within windows of random pieces that are
    read in one go, for shards on a slow disk or a network and larger than the memory."""
    window: int = 262144
    """Rows of a window, for `order = "window"`, at least 1024; two windows lie in memory. The larger, the nearer to a
    global order."""

    patience: int | None = None
    """Stop after so many evaluations without a better validation loss."""
    eval_every: int | None = None
    """Steps between evaluations; left out: once an epoch."""
    save_every: int | None = None
    """Steps between checkpoints, besides the one at each evaluation."""
    keep: int = 3
    """Newest checkpoints to keep, besides the best."""
    log_every: int = 50
    """Steps between lines of metrics."""
    tensorboard: bool = False
    """Also write TensorBoard files."""
    wandb: bool = False
    """Also log to Weights & Biases."""
    wandb_project: str = "poke-bc"
    """Project there."""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = _of_kind(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)
            if value is not None and name in _RANGES and not _RANGES[name][1](value):
                raise UsageError(f"{name} = {value}: must be {_RANGES[name][0]}", hint=_EXPLAINED)
        if self.value_weight and not self.value_head:
            raise UsageError("value_weight is set, but the policy has no value head", hint="set value_head = true")

    def to_dict(self) -> dict[str, Any]:
        """As in TOML: paths as text; what is None is left out."""
        return {name: str(value) if isinstance(value, Path) else value
                for name, value in dataclasses.asdict(self).items() if value is not None}

    def write(self, folder: Path) -> None:
        """Write config.toml into `folder`."""
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in self.to_dict().items()]
        with atomic_write(folder / CONFIG_FILE) as file:
            file.write("".join(lines).encode())


FREE_ON_RESUME = frozenset({"shards", "run", "device", "capture", "save_every", "keep", "tensorboard", "wandb",
                            "wandb_project"})
"""What a resumed run may change. All else decides the weights; the length too, since the cosine ends with it."""

_KINDS: dict[str, Any] = get_type_hints(TrainConfig)
_Check = tuple[str, Callable[[Any], bool]]
_AT_LEAST_1: _Check = ("at least 1", lambda value: value >= 1)
_AT_LEAST_0: _Check = ("at least 0", lambda value: value >= 0)
_POSITIVE: _Check = ("above 0", lambda value: value > 0)
_SHARE: _Check = ("from 0 to below 1", lambda value: 0 <= value < 1)
_RANGES: dict[str, _Check] = {
    "width": _AT_LEAST_1, "blocks": _AT_LEAST_0, "dropout": _SHARE, "embedding": _AT_LEAST_1,
    "epochs": _POSITIVE, "steps": _AT_LEAST_1, "batch_size": _AT_LEAST_1, "lr": _POSITIVE, "warmup": _AT_LEAST_0,
    "min_lr_ratio": ("from 0 to 1", lambda value: 0 <= value <= 1), "weight_decay": _AT_LEAST_0,
    "grad_clip": _POSITIVE, "label_smoothing": _SHARE, "value_weight": _AT_LEAST_0, "seed": _AT_LEAST_0,
    "patience": _AT_LEAST_1, "eval_every": _AT_LEAST_1, "save_every": _AT_LEAST_1, "keep": _AT_LEAST_1,
    "log_every": _AT_LEAST_1,
    "censored": (f"one of {', '.join(CENSORED)}", CENSORED.__contains__),
    "precision": (f"one of {', '.join(PRECISIONS)}", PRECISIONS.__contains__),
    "order": (f"one of {', '.join(ORDERS)}", ORDERS.__contains__),
    "capture": (f"one of {', '.join(CAPTURES)}", CAPTURES.__contains__),
    "window": (f"at least {CHUNK_ROWS}, the rows of a piece", lambda value: value >= CHUNK_ROWS),
}


def resolve(flags: Mapping[str, Any], file: Path | None = None, *, resume: bool = False) -> TrainConfig:
    """Defaults < TOML < flags.

    Args:
        flags: by field name; None: not given.
        file: flat TOML with the names of TrainConfig.
        resume: without a file, start from the configuration that the run itself was made with.

    Raises UsageError for a name that does not exist, naming the nearest, and for values of a wrong type or range.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    run = Path(given.get("run", TrainConfig.run))
    if resume and file is None and (run / CONFIG_FILE).is_file():
        return TrainConfig(**{**read_toml(run / CONFIG_FILE), "run": run, **given})
    return TrainConfig(**{**(read_toml(file) if file else {}), **given})


def read_toml(path: Path) -> dict[str, Any]:
    """The names and values of a TOML file, names checked. Raises UsageError."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: does not exist", hint="give --config a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable TOML file ({error})", hint='a line looks like: lr = 0.001') from None
    for name in values:
        if name not in _KINDS:
            near = difflib.get_close_matches(name, _KINDS, 1)
            raise UsageError(f"{path}: unknown key {name!r}",
                             hint=f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_KINDS)}")
    return values


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    """`value` as the field's type; whole numbers may stand for floats, text for paths. Raises UsageError."""
    kinds = get_args(kind) or (kind,)
    if value is None and NoneType in kinds:
        return None
    wanted = kinds[0]
    if wanted is Path and isinstance(value, str | Path):
        return Path(value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise UsageError(f"{name} = {value!r}: expected {wanted.__name__}, got {type(value).__name__}",
                         hint=_EXPLAINED)
    return value
