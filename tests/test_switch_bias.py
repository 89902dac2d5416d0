"""The tool that compares predicted shares of switches with the recorded choices, on the battles of the sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import REPOSITORY

from poke_bc.contract.actions import NO_LABEL
from tests.bench import switch_bias


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("switch-bias") / "made"
    switch_bias.main([str(REPOSITORY / "data" / "sample" / "battles.jsonl.zst"), str(made), "--battles", "30",
                      "--set", "steps=4", "--set", "batch_size=64", "--set", "policy.width=16"])
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    return json.loads((folder / "switch_bias.json").read_text())


def test_rows_of_the_log_are_matched_with_the_choice_that_was_made(folder: Path) -> None:
    log, player = switch_bias.matched(folder)
    assert log.key_N == player.key_N
    assert len(log.key_N) == len({*log.key_N}) > 50
    action_N = log.column("action")
    labelled = (action_N != NO_LABEL) & (player.column("action") != NO_LABEL)
    assert labelled.any()
    named = [rows.names()[np.flatnonzero(labelled), rows.column("action")[labelled]] for rows in (log, player)]
    assert np.mean(named[0] == named[1]) > 0.98


def test_every_share_and_figure_is_there(found: Any) -> None:
    for shares in found["shares"].values():
        assert 0 <= shares["true"] <= 1
        assert all(0 < shares[f"{way} {view}"] < 1 for way in switch_bias.WAYS for view in ("log", "player"))
    parts = [shares["decisions"] for name, shares in found["shares"].items() if "," in name]
    assert sum(parts) == found["shares"]["all"]["decisions"]
    for figures in found["nll"].values():
        assert 0 < figures["decisions"] <= found["matched"]
        assert all(0 < figures[way]["nll"] < 5 for way in switch_bias.WAYS)
    assert len([*switch_bias.report(found)]) == 7 + len(found["shares"])
