"""The experiments behind docs/experiments.md run from records to a table; here on a few battles of the sample."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from command_line import REPOSITORY

from poke_bc.contract.split import read_split
from poke_bc.data.shards import Shards
from tests.bench import reproduce, views

SETTINGS = ["steps=2", "batch_size=32", "policy.width=16", "policy.embedding=4", "device=cpu"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    lines = [*islice(views.lines_of(REPOSITORY / "data" / "sample" / "battles.jsonl.zst"), 40)]
    names = {name for each in reproduce.EXPERIMENTS.values() for name in each.records}
    for number, records in enumerate(sorted(names)):
        (folder / records).parent.mkdir(exist_ok=True)
        with pa.output_stream(str(folder / records), compression="zstd") as out:
            out.write(b"".join(lines if "gen9" in records else lines[2 * number : 2 * number + 2]))
    return folder


def test_every_experiment_ends_in_a_table_and_uses_what_is_there_again(shared: Path, tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str],
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "RATIOS", {"val_ratio": 0.2, "test_ratio": 0.2})
    given = ["--folder", str(tmp_path), "--shared", str(shared), "--seeds", "1"]
    for setting in SETTINGS:
        given += ["--set", setting]
    for name in reproduce.EXPERIMENTS:
        before = {path: path.read_bytes() for path in tmp_path.glob("*.json")}
        reproduce.main([name, *given])
        assert all(path.read_bytes() == text for path, text in before.items()), "figures of the others stay"
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" | ")[0] for line in lines[4:]] == ["| 0", "| mean", "| target"]
        assert json.loads((tmp_path / f"{name}.json").read_text())["0"]["decisions"] > 0
    written = (tmp_path / "runs" / "gen9ou-0" / "config.toml").read_text()
    assert "random-battles-0" in written, "it starts from another experiment's policy"
    shutil.rmtree(shared / "resim")
    reproduce.reproduce("spectator", tmp_path, shared, [0], SETTINGS)


def test_both_views_of_a_battle_are_in_the_same_split(shared: Path, tmp_path: Path) -> None:
    splits = []
    for view in (views.PLAYER, views.LOG):
        shards = Shards(views.make_shards([shared / "replays" / "gen9ou.jsonl.zst"], tmp_path, view, 30, val_ratio=0.3))
        _, split_T = read_split(shards.folder, shards.manifest.identity)
        splits.append(dict(zip(shards.trajectories("replay_id"), split_T.tolist(), strict=True)))
    assert splits[0] == splits[1]
    assert len(set(splits[0].values())) == 2
