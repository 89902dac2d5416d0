"""The settings of runs, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def side_by_side(configs: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """One row for each setting: its name, its value in each run as text, and whether they differ.

    None stands for a policy without its run, whose settings are not known. The folder of a run always differs and does
    not count.

    >>> side_by_side([{"lr": 0.1}, {"lr": 0.2}])
    [{'name': 'lr', 'values': ['0.1', '0.2'], 'differs': True}]
    """
    names = dict.fromkeys(name for config in configs for name in config or {})
    rows = []
    for name in names:
        values = ["" if config is None or name not in config else _text(config[name]) for config in configs]
        known = {value for value, config in zip(values, configs, strict=True) if config is not None}
        rows.append({"name": name, "values": values, "differs": len(known) > 1 and name != "run"})
    return rows


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
