"""watch: saved logs and replays -> a page to step through, and nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import run_cli
from random_players import random_battles
from report_fixtures import singles_runs  # noqa: F401 - fixture
from test_report import content_of

from poke_bc.cli.watch import watch
from poke_bc.contract.errors import InputError


def test_a_folder_of_logs_and_a_replay_become_a_page(
        singles_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    kept = tmp_path / "temporary"
    kept.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(kept))
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(kept))
    logs = tmp_path / "logs"
    logs.mkdir()
    first, second, third = (json.loads(line) for line in [*random_battles()][:3])
    (logs / "battles.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n", "utf-8")
    replay = tmp_path / f"{third['id']}.log"
    replay.write_text("\n".join(third["spectator"]), "utf-8")
    done = run_cli("watch", logs, replay, "--run", singles_runs[0], "-o", "w.html", "--json", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert (done.json["battles"], done.json["of"], done.json["path"]) == (3, 3, "w.html")
    content = content_of(tmp_path / "w.html")
    assert len(content["battles"]) == 3
    assert {len(battle["views"]) for battle in content["battles"]} == {2}
    assert all(view["decisions"] for battle in content["battles"] for view in battle["views"])
    assert list(kept.iterdir()) == []


def test_where_there_is_no_battle_it_says_why(tmp_path: Path) -> None:
    record = json.loads(next(iter(random_battles())))
    doubles = [line.replace("singles", "doubles") for line in record["spectator"]]
    (tmp_path / "x.log").write_text("\n".join(doubles), "utf-8")
    out = tmp_path / "w.html"
    with pytest.raises(InputError, match=r"none of 1 battles could be converted; .*not singles"):
        watch([str(tmp_path / "x.log")], tmp_path / "run", out)
    assert not out.exists()
