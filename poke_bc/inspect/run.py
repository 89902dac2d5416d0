"""What a run contains: its configuration, its progress and its best evaluation."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from poke_bc.inspect.report import Inspection
from poke_bc.train.config import TrainConfig


def inspect_run(run: Path) -> Inspection:
    """Inspect a run, finished or not. Raises UsageError for a damaged configuration."""
    facts: dict[str, Any] = {"config": TrainConfig.read(run).to_dict()}
    metrics = []
    for line in (run / "metrics.jsonl").read_bytes().splitlines() if (run / "metrics.jsonl").exists() else []:
        with contextlib.suppress(msgspec.DecodeError):  # cut short when the run was killed
            metrics.append(msgspec.json.decode(line))
    if metrics:
        facts["last"] = {key: value for key, value in metrics[-1].items() if key != "val"}
    remarks = []
    if evaluations := [line for line in metrics if line.get("val")]:
        best = min(evaluations, key=lambda line: float(line["val"]["nll"]))
        facts["best"] = {"step": best["step"], **best["val"]}
        if later := len(evaluations) - 1 - evaluations.index(best):
            remarks.append(f"validation loss was best at step {best['step']}, {later} "
                           f"evaluation{'s' if later > 1 else ''} before the last")
    else:
        remarks.append("no evaluation yet")
    for name in ("best", "last"):
        facts[f"{name}_checkpoint"] = (run / name).resolve().name if (run / name).exists() else None
    return Inspection(str(run), "run", facts, remarks=remarks)
