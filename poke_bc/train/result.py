"""The result of a run, and result.json."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from poke_bc.contract.files import checksum_holds, checksummed, digest_file, write_json
from poke_bc.train.checkpoint import DIGESTS

RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a run."""

    steps: int
    samples: int
    seconds: float
    """Over all sessions of the run, including evaluation and saving."""
    samples_per_s: float
    """Of the last session, without evaluation and saving."""
    input_wait_fraction: float
    """Fraction of that time in which a step waited for its batch."""
    train_loss: float | None
    """Mean over the steps since the line of metrics before the last."""
    val: Mapping[str, int | float] | None
    """nll, top1, top3, ece, decisions of the best checkpoint; None without a validation split."""
    run: str
    precision: str
    """Of matrix products: what "auto" resolved to."""

    def to_dict(self) -> dict[str, Any]:
        """As `poke-bc train --json` prints it."""
        return asdict(self)

    def write(self, run: Path, last: Path) -> None:
        """Write result.json: the run is finished with its checkpoint `last`."""
        write_json(run / RESULT_FILE, checksummed({"checkpoint": digest_file(last / DIGESTS), **self.to_dict()}))

    @classmethod
    def read(cls, run: Path, last: Path) -> TrainResult | None:
        """The result of a run that is finished with its checkpoint `last`; None otherwise, or if the file is damaged:
        the run can write it again."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
                                 msgspec.MsgspecError):
            value = json.loads((run / RESULT_FILE).read_bytes())
            if checksum_holds(value) and value["checkpoint"] == digest_file(last / DIGESTS):
                return msgspec.convert(value, cls)
        return None


def result_holds(run: Path) -> bool:
    """Whether result.json is as it was written, or not there."""
    path = run / RESULT_FILE
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        return not path.exists() or checksum_holds(json.loads(path.read_bytes()))
    return False
