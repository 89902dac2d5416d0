"""Archives of battles are read as folders are; what is damaged in them is named."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from battle_shapes import jsonl, make_log, packed, parquet, replay
from hypothesis import given
from hypothesis import strategies as st
from test_battle_files import read

from pipelines.convert.battle_files import BATTLE_FILES, read_raw_battles
from pipelines.jobs.inputs import find_inputs
from poke_bc.showdown.record import BattleRecord

FILES = {
    "./site/gen9ou-100001.json": json.dumps(replay(1)).encode(), "gen9ou-100002.log": "\n".join(make_log(2)).encode(),
    "many.jsonl.gz": packed(jsonl([replay(3), replay(4)]), ".gz"), "notes.md": b"|start", "__MACOSX/._a.json": b"{}",
    ".hidden.json": b"{}", "folder/gen9ou-100005.json.zst": packed(json.dumps(replay(5)).encode(), ".zst"),
}
FOUND = [f"gen9ou-{100000 + number}" for number in range(1, 6)]


def zipped(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return whole.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("folder/"), None)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return whole.getvalue()


ARCHIVES: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    ".zip": zipped, ".tar": tarred, ".tar.gz": lambda files: packed(tarred(files), ".gz"),
    ".tgz": lambda files: packed(tarred(files), ".gz"), ".tar.zst": lambda files: packed(tarred(files), ".zst"),
    ".zip.gz": lambda files: packed(zipped(files), ".gz"),
}


def found(path: Path) -> list[str]:
    """Ids of the battles, or the reasons why there are none."""
    return [each.id if isinstance(each, BattleRecord) else each for each in read(path)]


@pytest.mark.parametrize("ending", ARCHIVES)
def test_battles_in_archives_are_found_whatever_their_form(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"replays{ending}"
    path.write_bytes(ARCHIVES[ending](FILES))
    assert found(path) == FOUND
    places = [raw.place for raw in read_raw_battles(str(path))]
    assert places[1:3] == [f"{path}/gen9ou-100002.log", f"{path}/many.jsonl.gz:1"]
    if ending != ".zip.gz":
        assert find_inputs([tmp_path], BATTLE_FILES) == [str(path)]


def test_an_archive_can_come_through_a_pipe(tmp_path: Path) -> None:
    for ending in (".zip", ".tar.gz"):
        (tmp_path / "whole").write_bytes(ARCHIVES[ending](FILES))
        pipe = tmp_path / f"pipe{ending}"
        subprocess.run(["mkfifo", pipe], check=True)
        with subprocess.Popen(["sh", "-c", f"cat {tmp_path / 'whole'} > {pipe}"]):
            assert found(pipe) == FOUND


def test_parquet_in_an_archive_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"rows.parquet": parquet([replay(1), replay(2)], tmp_path / "rows")}))
    assert found(tmp_path / "a.zip") == FOUND[:2]


@pytest.mark.parametrize(("name", "data", "reason"), [
    ("a.zip", zipped({"notes.md": b"hi"}), "an archive without battle files"),
    ("a.tar", tarred({"inner.json": zipped(FILES)}), "an archive within an archive"),
    ("a.json", lzma.compress(b"{}"), "unknown compression or archive"),
    ("a.log", bz2.compress(b"{}"), "unknown compression or archive"),
    ("a.zip", b"7z\xbc\xaf\x27\x1c" + bytes(100), "unknown compression or archive"),
    ("a.zip", zipped({"empty.json": b""}), "empty file"),
])
def test_what_is_not_read_is_refused_by_name(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert found(tmp_path / name) == [reason]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst", ".zip"])
def test_a_cut_archive_never_passes_for_a_whole_one(ending: str, tmp_path: Path) -> None:
    whole = ARCHIVES[ending](FILES)
    size = len(whole.rstrip(b"\0"))  # a .tar ends with empty blocks
    for kept in (size // 3, size * 2 // 3, size - 1):
        path = tmp_path / f"cut{ending}"
        path.write_bytes(whole[:kept])
        assert "damaged file" in found(path), kept


def test_a_damaged_member_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    whole = bytearray(zipped({f"{number}.json": json.dumps(replay(number)).encode() for number in (1, 2, 3)}))
    second = whole.index(b"2.json") + 200
    whole[second] ^= 255
    (tmp_path / "a.zip").write_bytes(whole)
    assert found(tmp_path / "a.zip") == [FOUND[0], "damaged file", FOUND[2]]
    bad = [raw for raw in read_raw_battles(str(tmp_path / "a.zip")) if raw.form == "problem"]
    assert bad[0].place == f"{tmp_path / 'a.zip'}/2.json"


@given(at=st.integers(0, 5119), value=st.integers(0, 255))
def test_a_changed_byte_in_a_tar_ends_no_run_and_hides_no_battle(at: int, value: int) -> None:
    files = {name: FILES[name] for name in ("./site/gen9ou-100001.json", "gen9ou-100002.log")}
    whole = bytearray(tarred(files))
    whole[at] = value
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(whole)
        file.flush()
        here = [raw.form for raw in read_raw_battles(file.name)]
    assert len(here) >= 2 or "problem" in here
