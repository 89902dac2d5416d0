"""The report: what it computes, what the file holds, and how it refuses."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_told_in_two_lines, run_cli
from report_fixtures import HOSTILE, basic_report, singles_report, singles_runs  # noqa: F401 - fixtures
from training_fixtures import make_shards, small_config

from poke_bc.contract.errors import UsageError
from poke_bc.evaluate import compare, evaluate, open_rows
from poke_bc.policy import load_policy
from poke_bc.report import Report, report
from poke_bc.report.battles import PROB_UNIT
from poke_bc.report.moments import most_surprising
from poke_bc.report.page import LIMIT
from poke_bc.train import train

Page = tuple[Path, Report]


def packed(path: Path, name: str) -> str:
    found = re.search(rf'<script type="text/plain" id="report-{name}">([^<]*)</script>', path.read_text("utf-8"))
    assert found
    return found[1]


def content_of(path: Path) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed(path, "content"))))


def test_the_page_is_small_and_says_what_it_holds(singles_report: Page) -> None:  # noqa: F811
    path, written = singles_report
    content = content_of(path)
    assert path.stat().st_size == written.bytes <= LIMIT
    assert written.runs == len(content["runs"]) == 2
    assert written.battles == written.of == len(content["battles"])
    assert written.decisions == sum(view["decisions"] for battle in content["battles"] for view in battle["views"])


def test_figures_are_those_of_evaluate(singles_report: Page, singles_runs: list[Path]) -> None:  # noqa: F811
    for run, told in zip(singles_runs, content_of(singles_report[0])["runs"], strict=True):
        found = evaluate(run, device="cpu")
        assert told["figures"]["nll"] == pytest.approx(found["nll"], rel=1e-5)
        assert told["figures"]["slices"].keys() == found["slices"].keys()


def test_runs_on_the_same_decisions_are_compared_in_a_sentence(singles_report: Page,  # noqa: F811
                                                               singles_runs: list[Path]) -> None:  # noqa: F811
    content = content_of(singles_report[0])
    (verdict,) = content["verdicts"]
    (pair,) = compare(singles_runs, device="cpu")["pairs"]
    names = [run["name"] for run in content["runs"]]
    assert verdict == re.sub(r"\b[AB]\b", lambda found: names["AB".index(found[0])], pair["verdict"])


def test_the_rows_of_a_battle_are_those_of_the_shards(singles_report: Page,  # noqa: F811
                                                      singles_runs: list[Path]) -> None:  # noqa: F811
    path, _ = singles_report
    content, streams = content_of(path), packed(path, "streams").split("\n")
    policy = load_policy(singles_runs[0])
    data = open_rows(policy, content["data"]["folder"], "val", every_row=True)
    both = np.concatenate([data.column("category"), data.column("number").view(np.uint16)], axis=1)
    probs = policy(data.batch(np.arange(len(data)))).logits.softmax(dim=1).detach().numpy()
    varying = content["layout"]["varying"]
    for battle in content["battles"]:
        for view in battle["views"]:
            here = slice(view["row"], view["row"] + view["decisions"])
            columns = np.frombuffer(zlib.decompress(base64.b64decode(streams[view["stream"]])), "<u2").reshape(
                -1, view["decisions"])
            rows = np.tile(np.array(content["layout"]["constant"], np.uint16), (view["decisions"], 1))
            rows[:, varying] = columns[: len(varying)].T
            assert (rows == both[here]).all()
            legal, _, action, _ = columns[len(varying) : len(varying) + 4]
            assert (legal == data.column("legal")[here]).all()
            assert (action.astype(np.int16) == data.column("action")[here]).all()
            shown = columns[len(varying) + 4 : len(varying) + 14].T / PROB_UNIT
            assert np.allclose(shown, probs[here], atol=1e-4)
            unlisted = (legal[:, None] >> np.arange(10) & 1 == 0) & (legal != 0)[:, None]
            assert (shown[unlisted] == 0).all()


def test_names_never_become_part_of_the_page(singles_report: Page) -> None:  # noqa: F811
    text = singles_report[0].read_text("utf-8")
    assert HOSTILE not in text
    assert "attacked" not in text
    assert "<b>value" not in text
    assert text.count("<script") == text.count("</script>") == 4


def test_the_same_runs_give_the_same_bytes(singles_report: Page, singles_runs: list[Path],  # noqa: F811
                                           tmp_path: Path) -> None:
    report(singles_runs, tmp_path / "again.html", device="cpu")
    assert (tmp_path / "again.html").read_bytes() == singles_report[0].read_bytes()


def test_a_page_holds_no_more_battles_than_fit_or_are_wanted(singles_runs: list[Path], tmp_path: Path,  # noqa: F811
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    few = report(singles_runs[:1], tmp_path / "few.html", battles=2, device="cpu")
    assert few.battles == 2 < few.of
    assert {moment["row"] for moment in content_of(tmp_path / "few.html")["moments"]}
    limit = few.bytes + 20_000
    monkeypatch.setattr("poke_bc.report.build.LIMIT", limit)
    fitting = report(singles_runs[:1], tmp_path / "fitting.html", device="cpu")
    assert fitting.battles < fitting.of
    assert fitting.bytes <= limit


def test_settings_that_differ_are_marked(singles_report: Page) -> None:  # noqa: F811
    differing = {row["name"] for row in content_of(singles_report[0])["settings"] if row["differs"]}
    assert differing == {"policy.value_head", "value_weight"}


def test_a_schema_without_pokemon_has_no_board(basic_report: Page) -> None:  # noqa: F811
    content = content_of(basic_report[0])
    assert not content["schema"]["has_board"]
    assert content["battles"]


def test_the_most_surprising_moments_come_first_and_two_of_a_trajectory() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6], [1.0, 0.0]], np.float32)
    actions, trajectories = np.array([1, 1, 1, 1, 1, -1]), np.array([0, 0, 0, 1, 1, 2])
    assert most_surprising(probs, actions, trajectories).tolist() == [0, 1, 3]


def test_a_run_whose_shards_are_gone_says_so(tmp_path: Path) -> None:
    train(small_config(make_shards(tmp_path / "shards"), tmp_path / "run", epochs=1), progress=False)
    shutil.move(tmp_path / "shards", tmp_path / "moved")
    done = run_cli("report", tmp_path / "run", "-o", tmp_path / "page.html")
    assert_told_in_two_lines(done, "gone", str(tmp_path / "shards"), code=3)
    assert "--shards" in done.stderr
    told = run_cli("report", tmp_path / "run", "-o", tmp_path / "page.html", "--shards", tmp_path / "moved", "--json")
    assert told.json["bytes"] == (tmp_path / "page.html").stat().st_size


def test_an_output_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("mine")
    for name, word in (("nowhere/page.html", "cannot be written"), (".", "a folder"), ("notes.html", "not a report")):
        with pytest.raises(UsageError, match=word):
            report([tmp_path / "no run"], tmp_path / name)
    assert (tmp_path / "notes.html").read_text() == "mine"
    assert_told_in_two_lines(run_cli("report", "no run", "-o", tmp_path / "nowhere" / "page.html"), "cannot be", code=2)


def test_without_plotly_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(UsageError) as raised:
        report([tmp_path], tmp_path / "page.html")
    assert raised.value.hint == "pip install 'poke-bc[report]'"
