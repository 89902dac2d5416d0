"""Rows of public data sets convert as they are, as JSONL and as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from battle_shapes import jsonl, make_log, parquet, replay
from hypothesis import given
from hypothesis import strategies as st
from test_battle_files import read

from pipelines.convert.convert_job import convert_battles
from pipelines.convert.public_rows import as_replay, first_of_month
from poke_bc.contract.errors import InputError, UsageError
from poke_bc.showdown.record import BattleRecord

LOG = "\n".join(line for line in make_log(1) if not line.startswith("|t:|"))
OF_UNKNOWN = {"id": "gen9ou-100001", "format": "[Gen 9] OU", "players": ["MISSING", "MISSING"], "log": LOG,
              "uploadtime": "MISSING", "formatid": "MISSING", "rating": "MISSING"}
OF_RANGES = {"battle_id": "gen9ou-100001", "text": LOG, "month_year": "2024-05", "gamemode": "gen9ou",
             "elo": "1500-1599"}


def only(row: dict[str, Any], ending: str, folder: Path) -> BattleRecord:
    path = folder / f"rows{ending}"
    path.write_bytes(jsonl([row]) if ending == ".jsonl" else parquet([row], path))
    (record,) = read(path)
    assert isinstance(record, BattleRecord), record
    return record


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_rows_with_missing_values(ending: str, tmp_path: Path) -> None:
    record = only(OF_UNKNOWN, ending, tmp_path)
    assert (record.id, record.format, record.date, record.rating) == ("gen9ou-100001", "gen9ou", None, None)
    record = only(OF_UNKNOWN | {"id": "MISSING", "format": "MISSING", "formatid": "gen9ou", "rating": "1500.0",
                                "uploadtime": 1700000000, "players": "MISSING"}, ending, tmp_path)
    assert record.id.startswith("gen9ou-")
    assert (record.format, record.date, record.rating) == ("gen9ou", "2023-11-14T22:13:20Z", 1500)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_rows_with_ranges_and_months(ending: str, tmp_path: Path) -> None:
    record = only(OF_RANGES, ending, tmp_path)
    assert (record.id, record.format, record.date, record.rating) == (
        "gen9ou-100001", "gen9ou", "2024-05-01T00:00:00Z", 1500)
    row = OF_RANGES | {"text": "\n".join(make_log(1)), "month_year": "May2024", "elo": "1800+"}
    record = only(row, ending, tmp_path)
    assert record.rating == 1800
    assert record.date is not None
    assert not record.date.endswith("-01T00:00:00Z")  # the log knows better


@given(st.dictionaries(st.sampled_from(["id", "battle_id", "log", "text", "elo", "rating", "x"]),
                       st.one_of(st.text(), st.integers(), st.none(), st.just("MISSING"), st.just("1500-1599"))))
def test_rows_keep_what_is_known(row: dict[str, Any]) -> None:
    replay = as_replay(row)
    assert "MISSING" not in replay.values()
    assert as_replay(replay) == replay
    for key in ("id", "log", "x"):
        if key in row and row[key] not in ("MISSING", ""):
            assert replay[key] == row[key]


@given(st.integers(1, 9999), st.integers(1, 12))
def test_every_month_is_read(year: int, month: int) -> None:
    assert first_of_month(f"{year:04}-{month:02}") == f"{year:04}-{month:02}-01T00:00:00Z"


# Filters


@pytest.fixture
def battles(tmp_path: Path) -> Path:
    """Battles 1 to 3 of gen9ou, one each month; the third of other players, who let the other one win."""
    dated = [replay(number, log="\n".join(line for line in make_log(number) if not line.startswith("|t:|")),
                    uploadtime=f"2024-0{number}-15 10:00:00") for number in (1, 2, 3)]
    names = dated[2]["players"]
    dated[2]["log"] = dated[2]["log"].replace(names[0], "Red Panda").replace(names[1], "blue")
    (tmp_path / "a.jsonl").write_bytes(jsonl([*dated, replay(4, formatid="gen8ou", id="gen8ou-100004")]))
    return tmp_path / "a.jsonl"


def converted(battles: Path, **options: Any) -> int:
    return convert_battles(battles, battles.with_name("raw.jsonl"), workers=1, salt="s", **options).converted


@pytest.mark.parametrize(("options", "count"), [
    ({"since": "2024-02"}, 2), ({"until": "2024-02"}, 3), ({"since": "2024-02-15", "until": "2024-02-15"}, 1),
    ({"until": "2024", "formats": ["gen9ou"]}, 3), ({"players": ["redpanda"]}, 1),
    ({"players": ["RED PANDA", "no"]}, 1),
    ({"winner": "red panda"}, 1),
])
def test_filters_choose_by_date_player_and_winner(options: dict[str, Any], count: int, battles: Path) -> None:
    assert converted(battles, **options) == count
    assert converted(battles, **options, keep_names=True) == converted(battles, **options)


@pytest.mark.parametrize(("options", "words", "hint"), [
    ({"formats": ["gen1ou"]}, "none of 4 battles is of format gen1ou", "there are: gen9ou (3), gen8ou (1)"),
    ({"since": "2031"}, "none of 4 battles is of the time from 2031", "--since"),
    ({"players": ["nobody"]}, "none of 4 battles is of these players", "pseudonyms"),
])
def test_a_filter_that_nothing_passes_says_what_there_is(
    options: dict[str, Any], words: str, hint: str, battles: Path,
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        converted(battles, **options)
    assert hint in caught.value.hint


@pytest.mark.parametrize("options", [
    {"since": "May"}, {"until": "2024-13"}, {"since": "2024-06", "until": "2024-05-31"},
])
def test_dates_that_cannot_be_meant_are_refused(options: dict[str, Any], battles: Path) -> None:
    with pytest.raises(UsageError):
        converted(battles, **options)
