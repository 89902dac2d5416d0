"""What a run contains: its configuration, its progress and its best evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from poke_bc.inspect.report import Inspection
from poke_bc.train.config import TrainConfig
from poke_bc.train.trackers import read_metrics


def inspect_run(run: Path) -> Inspection:
    """Inspect a run, finished or not. Raises UsageError for a damaged configuration."""
    facts: dict[str, Any] = {"config": TrainConfig.read(run).to_dict()}
    metrics = [figures for _, figures in read_metrics(run)]
    if metrics:
        facts["last"] = {key: value for key, value in metrics[-1].items() if key != "val"}
    remarks = []
    if evaluations := [line for line in metrics if "nll" in (line.get("val") or {})]:
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
