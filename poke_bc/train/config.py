"""The configuration of a run: defaults < TOML < --set < flags, resolved once and written into the run's folder."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta
from msgspec.structs import force_setattr

from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import atomic_write, digest
from poke_bc.contract.settings import BelowOne, Count, Fraction, NotNegative, Positive, Seed, Settings
from poke_bc.data.order import CHUNK_ROWS
from poke_bc.policy import PolicyOptions, policy_options
from poke_bc.policy.registry import DEFAULT
from poke_bc.policy.store import saved_options

CONFIG_FILE = "config.toml"


class TrainConfig(Settings, frozen=True, kw_only=True):
    """Everything that decides how a run goes. Raises UsageError for invalid values."""

    shards: Path = Path("data/shards")
    """Folder of shards, preprocessed and split."""
    run: Path = Path("runs/bc")
    """Folder of the run; must not already contain one."""
    init_from: Path | None = None
    """Run, checkpoint or policy whose weights to start from. Its network is taken as well; settings in `[policy]` that
    change no shape, such as `dropout`, may differ."""

    epochs: Annotated[float, Meta(gt=0, le=1e6)] = 6.0
    """Passes over the training rows; ignored where `steps` is given."""
    steps: Count | None = None
    """Number of updates, instead of `epochs`."""
    batch_size: Annotated[int, Meta(ge=1, le=1 << 24)] = 512
    """Decisions per update. Batches continue across epochs and are always full; choose a smaller size if an epoch has
    only a few thousand decisions."""
    lr: Positive = 1.5e-3
    """Peak learning rate. On 9,000 to 90,000 decisions, 1e-3 to 3e-3 did equally well with batches of 512 to 1024."""
    warmup: NotNegative = 0.05
    """Linear warm-up: a fraction of all steps if below 1, else a number of steps."""
    min_lr_ratio: Fraction = 0.05
    """The cosine ends at this fraction of `lr`."""
    weight_decay: NotNegative = 0.01
    """AdamW's weight decay, on the matrices of linear layers only: biases and norms do not need it, and embeddings of
    rare ids would be decayed in every step but learn in few."""
    grad_clip: Positive = 1.0
    """Maximum norm of the gradient."""
    label_smoothing: BelowOne = 0.0
    """Fraction of the target that is spread over the legal actions. With 0.1 a policy had a
    higher NLL and predicted too many switches (docs/experiments.md)."""
    censored: Literal["skip", "marginal"] = "marginal"
    """Choices that were not observed: "marginal" trains on the summed probability of their candidates, "skip" leaves
    them out. Most of them were moves, so a policy that never sees them switches too often."""
    value_weight: NotNegative = 0.1
    """Weight of the value head's squared error, added to the imitation loss; without that head it has no effect."""
    gimmick_weight: NotNegative = 1.0
    """Weight of the gimmick head's cross-entropy, added to the imitation loss; with 1, the loss is that of the move and
    what is activated with it together."""
    where: str = ""
    """Learn only from trajectories for which this condition holds, such as `rating >= 1500 and format == 'gen9ou'`.
    Validation rows stay those of the split, so that runs can be compared; `poke-bc split --where` chooses both."""
    loser_weight: NotNegative = 1.0
    """Factor on the weight of the decisions of players who lost; 0 leaves them out. The value head learns from winners
    and losers alike."""
    rating_weight: NotNegative = 0.0
    """How much more decisions of higher rated players count: their weight is multiplied by (2p) ** `rating_weight`,
    where p is the score that Elo's formula expects against a player of the median rating. With 1, a player 400 points
    above the median counts 1.82, one 400 below 0.18, and one whose rating is not known 1."""
    rating_dropout: Fraction = 0.0
    """Fraction of the rows, drawn anew each time, whose ratings the policy is not told: it can then play like a certain
    rating or like anybody. Needs a schema with `own_rating` or `opp_rating`."""
    permute_slots: bool = False
    """Put own and opposing Pokémon, and the moves of each, into another order each time a row comes; labels follow. For
    networks that tell slots apart, such as `mlp`; `entity` and `history` learn the same without."""
    average: BelowOne = 0.998
    """Decay of a moving average of the weights, such as 0.998, which averages about the last 500 steps. The policy
    that is evaluated and saved is then the average. 0: no average."""
    calibrate: bool = True
    """At each evaluation, fit the temperature that makes probabilities as sure as the policy is right on validation
    decisions. It is saved with the policy, and changes neither training nor the order of actions."""
    seed: Seed = 42
    """Seed of the weights, the order of samples, dropout, and whatever else is drawn."""
    device: str = "auto"
    """"auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1"."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of matrix products in training: "float32", "bfloat16", or "auto", decided when the run begins: bfloat16
    on a GPU, and from width 64 on also on a CPU with AVX512-BF16 or AMX. Evaluation is always in float32."""
    capture: Literal["auto", "on", "off"] = "auto"
    """Capture the step in a CUDA graph and replay it: "auto" (on a GPU, in a single process), "on" or "off"."""
    order: Literal["global", "window"] = "global"
    """Order of samples: "global" shuffles all rows of an epoch; "window" shuffles within windows of random chunks, each
    read sequentially, for shards on a slow disk or a network that are larger than the memory."""
    window: Annotated[int, Meta(ge=1, le=1 << 40)] = 262144
    """Rows of a window, for `order = "window"`; two windows should fit into memory. The larger, the closer to a global
    order."""

    patience: Count | None = None
    """Stop after this many evaluations without a better validation loss."""
    eval_every: Count | None = None
    """Steps between evaluations; if left out, one epoch."""
    save_every: Count | None = None
    """Steps between checkpoints, in addition to one at each evaluation."""
    keep: Count = 3
    """Number of latest checkpoints to keep, in addition to the best."""
    log_every: Count = 50
    """Steps between lines of metrics."""
    tensorboard: bool = False
    """Also write TensorBoard files."""
    wandb: bool = False
    """Also log to Weights & Biases."""
    wandb_project: str = "poke-bc"
    """Project in Weights & Biases."""

    policy: PolicyOptions = DEFAULT
    """The network: a table with its `name` and its options."""

    def __post_init__(self) -> None:
        if isinstance(self.policy, dict):  # as in TOML
            force_setattr(self, "policy", policy_options(self.policy))
        super().__post_init__()
        if self.window < CHUNK_ROWS:
            raise UsageError(f"window = {self.window}: expected at least {CHUNK_ROWS}, the rows of a chunk",
                             hint='only order = "window" uses it')

    @classmethod
    def read(cls, run: Path) -> Self:
        """The configuration that a run was started with. Raises UsageError."""
        return cls.of(_read(run / CONFIG_FILE))

    def write(self, folder: Path) -> None:
        """Write config.toml, beginning with a digest of the rest."""
        text = self.to_toml().encode(errors="surrogateescape")
        with atomic_write(folder / CONFIG_FILE) as file:
            file.write(_MARK + digest(text).encode() + b"\n" + text)

    @staticmethod
    def is_intact(folder: Path) -> bool:
        """Whether there is a config.toml that `write` made and nobody has changed."""
        mark, _, text = (folder / CONFIG_FILE).read_bytes().partition(b"\n") if is_ours(folder) else (b"", b"", b"")
        return mark == _MARK + digest(text).encode()


_MARK = b"# settings of a run of poke-bc; xxh3 of the lines below: "


def is_ours(folder: Path) -> bool:
    """Whether the config.toml in `folder` is one that a run wrote, edited or not."""
    path = folder / CONFIG_FILE
    return path.is_file() and path.read_bytes().startswith(_MARK)


def run_around(policy: Path) -> Path | None:
    """The run that a policy's folder is part of, or None."""
    return next(filter(is_ours, policy.resolve().parents), None)


FREE_ON_RESUME = frozenset({"shards", "run", "device", "capture", "epochs", "steps", "patience", "save_every", "keep",
                            "tensorboard", "wandb", "wandb_project"})
"""Settings that a resumed run may change: where things are, what it writes, and how long it lasts. All others would
change the weights that it has by now."""


def changes_on_resume(before: TrainConfig, now: TrainConfig) -> dict[str, list[Any]]:
    """Setting -> [before, now], of those that a resumed run changes; the folder of the run does not count.

    Raises UsageError for a setting that must not change.
    """
    old, new = before.flat(), now.flat()
    changed = {name: [old.get(name), new.get(name)] for name in sorted({*old, *new} - {"run"})
               if old.get(name) != new.get(name)}
    if refused := [f"{name} was {was}, is {wanted}" for name, (was, wanted) in changed.items()
                   if name not in FREE_ON_RESUME]:
        raise UsageError(f"{now.run}: cannot resume with another configuration: {'; '.join(refused)}",
                         hint=f"restore these settings (also in {now.run / CONFIG_FILE}), or start a new run: --run")
    return changed


def resolve(flags: Mapping[str, Any], file: Path | None = None, *, assignments: Iterable[str] = (),
            resume: bool = False) -> TrainConfig:
    """Defaults < TOML < assignments < flags.

    Args:
        flags: setting -> value, where `policy` is the name of a network; None: not given.
        file: TOML file of settings.
        assignments: such as "policy.width=384"; a value that is not TOML is taken as text.
        resume: without a file, start from the configuration that the run was started with.

    Raises UsageError for an unknown name, naming the nearest, and for a value of the wrong type or range.
    """
    given: dict[str, Any] = {}
    for text in assignments:
        _merge(given, _assignment(text))
    _merge(given, {name: {"name": value} if name == "policy" else value
                   for name, value in flags.items() if value is not None})
    run = Path(given.get("run", TrainConfig().run))
    if resume and file is None and (run / CONFIG_FILE).is_file():
        file, given["run"] = run / CONFIG_FILE, run
    values = {} if file is None else _read(file)
    if "epochs" in given and "steps" not in given:
        values.pop("steps", None)  # `epochs` is ignored where `steps` is given, but here it was asked for
    _merge(values, given)
    if values.get("init_from") and not resume:
        values["policy"] = {**saved_options(str(values["init_from"])), **values.get("policy", {})}
    return TrainConfig.of(values)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8", "surrogateescape"))
    except FileNotFoundError:
        raise UsageError(f"{path}: does not exist", hint="give --config a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable TOML file ({error})", hint="a line looks like: lr = 0.001") from None


def _assignment(text: str) -> dict[str, Any]:
    """"policy.width=384" -> {"policy": {"width": 384}}."""
    name, equals, value = text.partition("=")
    for toml in (value, json.dumps(value)) if equals else ():
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(f"{name} = {toml}")
    raise UsageError(f"--set {text}: not of the form NAME=VALUE", hint="such as --set policy.width=384")


def _merge(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Update `values` with `later`; tables are merged."""
    for name, value in later.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            values[name] = {**values[name], **value}
        else:
            values[name] = value
