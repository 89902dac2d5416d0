"""The benchmarks' arithmetic, their pages, and that peers do the same work. Not times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.preprocess import preprocess
from poke_bc import ShardDataset
from poke_bc.contract.schema import load_schema
from tests.bench import common, decode, loaders, scale, table
from tests.bench.common import Line
from tests.bench.table import Group

ROOT = Path(__file__).parents[1]
LINE = Line("ours : theirs", 200.0, 100.0, "MB/s", 2.0, (1.5, 2.5), ">= 2", rounds=5)


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    line = common.line_of("a : b", "MB/s", [10.0, 40.0, 30.0], [10.0, 10.0, 20.0], target="(none)")
    assert (line.ours, line.theirs) == (30.0, 10.0)
    assert (line.ratio, line.spread, line.rounds) == (1.5, (1.0, 4.0), 3)


@pytest.mark.parametrize(("target", "holds"), [
    (">= 2", True), (">= 2.01", False), ("< 800 MB", True), ("< 150 MB", False), ("<= 2.0, < 800 MB", True),
    ("<= 1.1, < 800 MB", False), ("(none)", None)])
def test_a_target_is_of_the_ratio_or_with_a_unit_of_ours(target: str, holds: bool | None) -> None:
    assert replace(LINE, target=target).holds is holds


def test_jobs_run_in_turn_after_a_warm_up_and_each_round_begins_with_another() -> None:
    order: list[str] = []
    found = common.rates({name: lambda name=name: order.append(name) for name in "abc"}, 1, rounds=2,
                         before=lambda: order.append("."))
    assert "".join(order) == ".c.a.b.a.b.c.b.c.a"
    assert {name: len(rates) for name, rates in found.items()} == {"a": 2, "b": 2, "c": 2}


def test_figures_come_back_as_they_were_kept(tmp_path: Path) -> None:
    groups = {"growth": group(LINE), "decode": group(replace(LINE, cache="cold"))}
    table.write(groups, tmp_path / "figures.json")
    assert table.read(tmp_path / "figures.json") == groups
    assert list(table.read(tmp_path / "figures.json")) == ["decode", "growth"]


def test_the_page_shows_every_line() -> None:
    page = table.page({"decode": group(LINE)})
    assert "| ours | theirs | 200 | 100 | MB/s | 2.00 | 1.50-2.50 | 5 | warm | >= 2 | yes |" in page


def test_the_table_on_the_terminal_is_aligned() -> None:
    head, *rows = table.text([LINE, replace(LINE, what="something longer : theirs", ours=1e6)]).splitlines()
    assert {row.index("MB/s") for row in rows} == {head.index("unit")}


def test_pages_follow_from_the_figures_that_are_kept() -> None:
    figures = table.read()
    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == table.page(figures), "just bench-docs"
    assert (ROOT / "docs" / "scale.md").read_text("utf-8") == scale.page(figures), "just bench-docs"


def test_scale_is_worked_out_from_the_figures() -> None:
    figures = scale.Figures(convert=(50.0, 100.0), preprocess=(1e5, 1e5), text=1000, packed=50, row=200,
                            memory=(150, 300), growth=1.0, memos=(10, 1), part=2e6, battle=500, train=1e5)
    page = scale._page(figures, dict.fromkeys(table.GROUPS, group(LINE)))
    assert "| `convert` | 13.9 | 1.74 | 1.74 | 0.17 to 0.17 |" in page  # 5e6 / 100 / 3600, and an eighth
    assert "| `preprocess` | 0.88 | 0.88 | 0.11 | 0.011 to 0.0882 |" in page  # two were no faster than one
    assert "| trajectories, `.jsonl.zst` | 50.0 | 16 GB | 2 GB |" in page  # 317.7 million decisions
    assert "| kept for each part: 2,495 x 2,000,000 bytes | 4.99 |" in page
    assert "| memo of `convert`, for the next run | 10.0 | 3 GB | 0 GB |" in page
    assert "other records of it: 2.50 GB." in page


def test_scale_names_the_group_that_is_missing() -> None:
    assert "just bench-docs convert" in scale.page({})


@pytest.mark.parametrize("name", ["pyarrow.json + flatten", "polars.read_ndjson(schema=) + explode",
                                  "json.loads + NumPy per field", "orjson.loads + NumPy per field"])
def test_decoding_peers_give_our_rows(name: str, texts: dict[str, bytes]) -> None:
    peers = decode.peers()
    if name not in peers:
        pytest.skip("not installed; `just bench` installs it")
    for schema_name, text in texts.items():
        schema = load_schema(schema_name)
        assert decode.checksum([peers[name](text, schema)]) == decode.checksum([decode.ours(text, schema)])


def test_feeding_peers_give_our_rows(tmp_path: Path, texts: dict[str, bytes]) -> None:
    (tmp_path / "raw.jsonl").write_bytes(texts["basic"])
    preprocess([tmp_path / "raw.jsonl"], tmp_path / "shards", workers=1)
    data = ShardDataset(tmp_path / "shards", every_row=True)
    columns = loaders.columns_of(data)
    expected = loaders.sums([{name: torch.from_numpy(column) for name, column in columns.items()}])
    assert expected[0] == len(data)
    feeds = {"ours": loaders.batch_feeder(data), "DataLoader": loaders.data_loader(data),
             "an item at a time": loaders.data_loader(loaders.OneByOne(data))}
    for name, feed in feeds.items():
        assert loaders.sums(feed(len(data))) == expected, name


def test_a_row_more_or_less_changes_the_checksum() -> None:
    rows = {name: np.zeros((2, 3), np.uint16) for name in decode.COLUMNS}
    assert decode.checksum([rows]) != decode.checksum([rows, rows])


@pytest.fixture(scope="module")
def texts() -> dict[str, bytes]:
    """A few trajectories in each schema."""
    basic = b"".join(json.dumps(value).encode() + b"\n" for value in common.read_lines(common.SAMPLE)[:200])
    return {"basic": basic, "singles": b"".join(_singles())}


def _singles() -> Iterator[bytes]:
    from tempfile import TemporaryDirectory
    from unittest import mock

    with TemporaryDirectory() as folder, mock.patch.object(common, "REPLAYS", Path("none")):
        raw, _, _ = common.converted_battles(Path(folder), 4)
        yield raw.read_bytes()


def group(*lines: Line) -> Group:
    return Group("2026-01-31", "a processor, 2 cores, 8 GiB", "Python 3.11", False, lines)
