"""What is evaluated: a policy, and the decisions that it has not seen."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.contract.split import SPLIT_NAMES, read_split
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.decisions.rows import Rows, read_rows
from poke_bc.evaluate.predictions import open_rows
from poke_bc.policy import Policy, TrainedOn, check_fits, load_policy
from poke_bc.policy.store import policy_folder
from poke_bc.train.config import TrainConfig, run_around
from poke_bc.train.setup import pick_device

ALL = "all"
"""Instead of a split: every battle of shards that the policy was not trained on."""
SPLITS = (*SPLIT_NAMES[:3], ALL)


@dataclass(frozen=True)
class Subject:
    """A policy, with decisions to evaluate it on."""

    policy: Policy
    """On `device`."""
    device: torch.device
    place: Path
    """The run's folder, or the policy's if it is outside a run."""
    checkpoint: str
    """Name of the checkpoint; empty outside a run."""
    split: str
    """One of SPLITS."""
    dataset: ShardDataset
    """Decisions with a choice whose action is known, or of which some actions are known to have been possible."""

    @property
    def shards(self) -> Shards:
        """Whose rows they are."""
        return self.dataset.shards

    @cached_property
    def rows(self) -> Rows:
        """The dataset's rows, in its order."""
        return read_rows(self.dataset)


def open_subject(run: str | Path, shards: str | Path | None = None, split: str = "val", *, device: str = "auto",
                 checkpoint: str = "best") -> Subject:
    """Open a policy and its decisions; takes and raises what `evaluate` does."""
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}", hint=f"one of {', '.join(SPLITS)}; all is for shards that the policy "
                                                      "was not trained on")
    where = pick_device(device)
    policy = load_policy(run, device=where, checkpoint=checkpoint)
    place = policy_folder(run, checkpoint).resolve()
    own = run_around(place)
    if shards is None:
        if own is None:
            raise UsageError(f"{run}: a policy outside its run; its shards are not known",
                             hint="add --shards data/shards")
        shards = TrainConfig.read(own).shards
    opened = Shards(shards)
    try:
        check_fits(policy, opened.manifest)
    except RunError as error:
        raise RunError(f"{run}: {error.what}", hint=error.hint) from None
    dataset = open_rows(policy, opened, None if split == ALL else split, censored=True)
    earlier, unseen = policy.trained_on if split != "train" else None, True
    while earlier is not None:
        unseen &= _is_unseen(earlier, dataset)
        earlier = earlier.after
    if not unseen:
        print(f"warning: {opened.folder}: not the shards that the policy was trained on; if both contain the same "
              "battles, it may have learned from some of these", file=sys.stderr)
    subject = Subject(policy, where, own or place, place.parent.name if own else "", split, dataset)
    if not len(dataset) or not subject.rows.is_observed_N.any():
        folder = opened.folder
        again = f"split with a ratio for it, then train on that split: poke-bc split {folder} --{split}-ratio 0.1"
        raise ShardError(f"{folder}: no decision in split {split} to evaluate on",
                         hint=again if split in ("val", "test") else f"see what it contains: poke-bc inspect {folder}")
    return subject


def _is_unseen(trained_on: TrainedOn, data: ShardDataset) -> bool:
    """Whether it is known that the policy was not trained on these battles. Raises RunError if it was."""
    folder = data.shards.folder
    if trained_on.data != data.manifest.identity:
        return False
    if data.split is None:
        raise RunError(f"{folder}: the policy was trained on a split of these shards, so not all of them are unseen",
                       hint="evaluate on --split val or test, or on other --shards")
    if trained_on.split != read_split(folder, data.manifest.identity)[0].file_xxh3:
        raise RunError(f"{folder}: split again since the policy was trained; it may have learned from these battles",
                       hint="restore the split (the same --seed, ratios and --by), or train on this one")
    return True
