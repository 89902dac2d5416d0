"""Files from strangers: no code of theirs runs, no memory is taken for what they only claim, no path leads outside."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from battle_shapes import jsonl, replay
from command_line import run_python
from file_trees import files
from training_fixtures import make_shards, small_config
from trajectories import make_trajectories, to_text, write_raw

from pipelines.convert import convert_battles
from pipelines.convert.raw_battles import cut_log
from pipelines.jobs.streams import unpacked
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import RunError, ShardError
from poke_bc.contract.files import checksummed, digest_file, write_json
from poke_bc.contract.manifest import Manifest
from poke_bc.policy import load_policy
from poke_bc.train import resolve, train
from poke_bc.train.checkpoint import damage
from poke_bc.verify import verify

Edit = Callable[[Any], object]
MIB = 1 << 20


class Attack:
    """What a pickle that is loaded without care would run."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards", battles=16, steps=8)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    train(small_config(data, run, steps=4, save_every=2), progress=False)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run", symlinks=True))


def edit_json(path: Path, edit: Edit) -> None:
    """Change a file and its digest, as somebody would who wants it to be read."""
    value = json.loads(path.read_bytes())
    edit(value)
    write_json(path, checksummed(value) if "xxh3" in value else value)


def sign(checkpoint: Path) -> None:
    """Make the digests of a checkpoint those of its files as they are."""
    for file in ("policy.safetensors", "schema.json", "vocabularies.json"):
        edit_json(checkpoint / "policy" / "config.json", lambda value, file=file: value["files"].update(
            {file: digest_file(checkpoint / "policy" / file)}))
    edit_json(checkpoint / "digests.json", lambda value: value["files"].update(
        {name: digest_file(checkpoint / name) for name in value["files"]}))


def resume(run: Path) -> None:
    train(resolve({"run": run, "steps": 8}, resume=True), resume=True, progress=False)


# Code


@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_code_in_a_training_state_is_not_run(protocol: str, run: Path, tmp_path: Path) -> None:
    path = (run / "last").resolve() / "training_state" / "state.pt"
    state = torch.load(path, weights_only=True) | {"progress": Attack(tmp_path / "attacked")}
    torch.save(state, path) if protocol == "torch" else path.write_bytes(pickle.dumps(state))
    sign((run / "last").resolve())
    with pytest.raises(RunError, match=r"state\.pt: (holds something other than tensors|not a training state)"):
        resume(run)
    assert not (tmp_path / "attacked").exists()
    torch.load(path, weights_only=False) if protocol == "torch" else pickle.loads(path.read_bytes())
    assert (tmp_path / "attacked").exists(), "the attack is one"


def test_code_in_the_weights_of_a_policy_is_not_run(run: Path, tmp_path: Path) -> None:
    checkpoint = (run / "last").resolve()
    torch.save({"weight": Attack(tmp_path / "attacked")}, checkpoint / "policy" / "policy.safetensors")
    sign(checkpoint)
    with pytest.raises(RunError, match="cannot be built"):
        load_policy(checkpoint)
    assert not (tmp_path / "attacked").exists()


# Sizes


@pytest.mark.parametrize("options", [
    {"width": 1 << 16, "blocks": 1000}, {"width": 4096, "blocks": 1000}, {"embedding": 4096, "width": 1 << 16},
    {"width": 10**9}, {"blocks": 10**18}, {"name": "entity", "width": 1 << 16, "layers": 100},
    {"name": "history", "width": 1 << 16, "steps": 1024, "history_layers": 100}], ids=str)
def test_a_network_larger_than_its_weights_is_refused_before_memory_is_taken(
        options: dict[str, Any], run: Path) -> None:
    def grow(config: dict[str, Any]) -> None:
        if "name" in options:
            config["policy"] = {}
        config["policy"].update(options)

    policy = (run / "last").resolve() / "policy"
    edit_json(policy / "config.json", grow)
    before = resident_bytes()
    with pytest.raises(RunError, match=r"larger by far than policy\.safetensors|expected int <=|allocate memory"):
        load_policy(policy)
    assert resident_bytes() - before < 256 * MIB


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("file", "edit"), [
    ("vocabularies.json", lambda value: value["species"].update(size=10**12)),
    ("vocabularies.json", lambda value: value["species"].update(size=-1)),
    ("vocabularies.json", lambda value: value.update(species=7)),
    ("schema.json", lambda value: value["field"][0].update(width=10**12)),
    ("schema.json", lambda value: [field.update(width=30_000) for field in value["field"]]),
    ("schema.json", lambda value: value["entity"][0].update(count=10**9) if value.get("entity") else value.clear()),
], ids=["vocabulary", "negative", "no table", "field", "all fields", "entity"])
def test_sizes_in_a_schema_are_checked_before_memory_is_taken(file: str, edit: Edit, run: Path) -> None:
    checkpoint = (run / "last").resolve()
    edit_json(checkpoint / "policy" / file, edit)
    sign(checkpoint)
    with pytest.raises(RunError, match="cannot be built"):
        load_policy(checkpoint)


def test_a_training_state_that_unpacks_to_more_than_its_file_is_refused(run: Path) -> None:
    path = (run / "last").resolve() / "training_state" / "state.pt"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + bytes(8 * MIB))
    sign((run / "last").resolve())
    with pytest.raises(RunError, match=r"bytes in memory, more than in the file"):
        resume(run)


@pytest.mark.parametrize("edit", [
    lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(1).expand(10**9, 10**6)),
    lambda state: state.update(optimizer=7), lambda state: state.pop("sums"),
    lambda state: state.update(progress={"step": "far"}), lambda state: state.update(torch_rng=torch.zeros(3)),
], ids=["moments", "no optimizer", "no sums", "progress", "generator"])
def test_a_training_state_that_does_not_fit_is_refused(edit: Edit, run: Path) -> None:
    path = (run / "last").resolve() / "training_state" / "state.pt"
    state = torch.load(path, weights_only=True)
    edit(state)
    torch.save(state, path)
    sign((run / "last").resolve())
    with pytest.raises(RunError, match=r"state\.pt: (does not fit this run|not a training state)"):
        resume(run)


# Paths


OUTSIDE = ["../outside", "/etc/passwd", "a/../../outside", "..\\outside", "C:\\outside", "", "x\0"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_no_file_outside_its_folder(name: str, data: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(data, tmp_path / "shards"))
    edit_json(shards / "manifest.json", lambda value: value["shards"][0]["rows"].update(name=name))
    for read in (Manifest.read, verify, lambda folder: train(small_config(folder, tmp_path / "run"), progress=False)):
        with pytest.raises(ShardError, match="names a file outside its folder"):
            read(shards)


def test_a_manifest_cannot_make_preprocess_remove_what_it_names(data: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(data, tmp_path / "shards"))
    (tmp_path / "mine").write_text("kept")
    (shards / "shard-mine.arrow").write_text("kept")
    for name in ("../mine", str(tmp_path / "mine"), "shard-mine.arrow", "split.json"):
        edit_json(shards / "manifest.json", lambda value, name=name: value["shards"][0]["rows"].update(name=name))
        preprocess([write_raw(tmp_path / "raw.jsonl", make_trajectories(3))], shards, workers=1)
    assert (tmp_path / "mine").read_text() == (shards / "shard-mine.arrow").read_text() == "kept"


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_checkpoint_names_no_file_outside_its_folder(name: str, run: Path) -> None:
    checkpoint = (run / "last").resolve()
    edit_json(checkpoint / "digests.json", lambda value: value["files"].update({name: "0" * 16}))
    assert any("digests.json: damaged" in problem for problem in verify(checkpoint).differences)


def test_a_policy_hashes_its_own_files_and_no_others(run: Path) -> None:
    policy = (run / "last").resolve() / "policy"
    edit_json(policy / "config.json", lambda value: value["files"].update({"/etc/passwd": "0" * 16, "../x": "1" * 16}))
    load_policy(policy)
    edit_json(policy / "config.json", lambda value: value["files"].pop("policy.safetensors"))
    with pytest.raises(RunError, match=r"policy\.safetensors: missing, or damaged"):
        load_policy(policy)


IDS = ["../../etc/passwd", "/etc/passwd", "a/b\\c", "..", "-rf", "x" * 300, "C:\\x", "\0"]


def test_ids_with_path_separators_name_no_file(tmp_path: Path) -> None:
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    battles = [replay(number) | {"id": id_} for number, id_ in enumerate(IDS)]
    (inside / "replays.jsonl").write_bytes(jsonl(battles))
    convert_battles([inside / "replays.jsonl"], inside / "raw.jsonl", workers=1, salt="s")
    raws = make_trajectories(len(IDS))
    for number, raw in enumerate(raws):
        raw["replay_id"] = IDS[number // 2]
    write_raw(inside / "other.jsonl", raws)
    split(inside / "other.jsonl", val_ratio=0.4)
    preprocess([inside / "other.jsonl"], inside / "shards", workers=1)
    split(inside / "shards", val_ratio=0.4)
    assert {path.partition(".")[0].partition("/")[0] for path in files(inside)} == {"replays", "raw", "other", "shards"}
    assert [*tmp_path.iterdir()] == [tmp_path / "deep"]
    assert [*(tmp_path / "deep").iterdir()] == [inside]


# Nesting


def test_a_policy_or_a_checkpoint_that_nests_without_end_is_damaged(run: Path) -> None:
    checkpoint = (run / "last").resolve()
    for depth in (970, 100_000):
        text = '{"format": 1, "files": {}, "x": ' + "[" * depth + "]" * depth + "}"
        (checkpoint / "policy" / "config.json").write_text(text)
        with pytest.raises(RunError, match=r"config\.json: damaged"):
            load_policy(checkpoint)
        (checkpoint / "digests.json").write_text(text)
        assert len(damage(checkpoint)) == 1


@pytest.mark.parametrize("name", ["manifest.json", "split.json"])
def test_a_data_set_that_nests_without_end_is_damaged(name: str, data: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(data, tmp_path / "shards"))
    for depth in (970, 100_000):
        (shards / name).write_text('{"format": 1, "version": 1, "x": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(ShardError):
            train(small_config(shards, tmp_path / "run"), progress=False)


# Bombs


def bomb(path: Path, *parts: bytes | tuple[bytes, int]) -> None:
    with open(path, "wb") as file, pa.CompressedOutputStream(file, "gzip" if path.suffix == ".gz" else "zstd") as out:
        for part in parts:
            text, times = part if isinstance(part, tuple) else (part, 1)
            for _ in range(times):
                out.write(text)


def header(size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo("x.json")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def open_rooms() -> Iterator[bytes]:
    """Battles that never end: each alone may be that large."""
    for number in range(12):
        yield b">battle-gen9ou-%d\n" % number
        yield from [b"|" + b"a" * (MIB - 2) + b"\n"] * 50


BOMBS = {
    "line.log.zst": (b"|j|", (b"a" * MIB, 600)),
    "object.json.zst": (b'{\n"a": "', (b"a" * MIB, 600)),
    "line.jsonl.gz": (b'{"id": "', (b"a" * MIB, 600)),
    "page.html.zst": (b"<html>", (b"a" * MIB, 600)),
    "attributes.tar.zst": (header(600 * MIB, tarfile.XHDTYPE), (b"a" * MIB, 600)),
    "name.tar.gz": (header(600 * MIB, tarfile.GNUTYPE_LONGNAME), (b"a" * MIB, 600)),
    "archive.zip.zst": (b"PK\x03\x04", (b"a" * MIB, 600)),
    "rooms.log.zst": tuple(open_rooms()),
}
MEASURED = """
import sys
from pathlib import Path
from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from poke_bc.contract.errors import InputError

for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        if path.name.startswith("trajectories"):
            preprocess([path], sys.argv[2] + "/shards", workers=1)
        else:
            convert_battles([path], sys.argv[2] + "/raw.jsonl", workers=1, salt="s")
    except InputError as error:
        told = error.what
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(path.name, int(peak.split()[1]) >> 10, told, sep="\\t")
"""


def test_bombs_take_bounded_memory_and_are_told(tmp_path: Path) -> None:
    """Each is 600 MB when it is unpacked, and a few KB before."""
    (tmp_path / "bombs").mkdir()
    (tmp_path / "out").mkdir()
    for name, parts in BOMBS.items():
        bomb(tmp_path / "bombs" / name, *parts)
    for ending in ("gz", "zst"):
        bomb(tmp_path / "bombs" / f"trajectories.jsonl.{ending}", b'{"replay_id": "', (b"a" * MIB, 600), b'"}\n')
    assert all(path.stat().st_size < 3 * MIB for path in (tmp_path / "bombs").iterdir())
    done = run_python(MEASURED, tmp_path / "bombs", tmp_path / "out")
    assert done.code == 0, done.stderr
    found = {name: (int(mib), told) for name, mib, told in (line.split("\t") for line in done.stdout.splitlines())}
    assert found.keys() == {path.name for path in (tmp_path / "bombs").iterdir()}
    assert max(mib for mib, _ in found.values()) < 500, found
    reasons = {"attributes.tar.zst": "a header of 629,145,600", "name.tar.gz": "a header of 629,145,600",
               "archive.zip.zst": "times as large when it is unpacked"}
    for name, (_, told) in found.items():
        assert name in told
        assert reasons.get(name, "longer than a block of 8 MiB" if "trajectories" in name else "too long") in told
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name != "quarantine.jsonl" and path.is_file()]


def test_a_battle_after_those_that_were_given_up_is_read(tmp_path: Path) -> None:
    bomb(tmp_path / "a.log.zst", *open_rooms(), b">battle-gen9ou-99\n|start\n|win|x\n")
    with open(tmp_path / "a.log.zst", "rb", buffering=0) as file:
        stream, source = unpacked(file)
        found = [(raw.form, raw.place.rpartition(":")[2]) for raw in cut_log(stream, "a.log", lambda: source.consumed)]
    assert ("log", str(12 * 51 + 1)) in found
    assert ("problem", "1") in found
    assert len(found) == 13


def test_a_line_of_a_hundred_megabytes_costs_only_itself(tmp_path: Path) -> None:
    raws = make_trajectories(200)
    bomb(tmp_path / "raw.jsonl.zst", to_text(raws[:200]), b'{"replay_id": "', (b"a" * MIB, 100), b'"}\n',
         to_text(raws[200:]))
    done = preprocess([tmp_path / "raw.jsonl.zst"], tmp_path / "out", workers=1, max_bad=0.01)
    assert done.manifest.counts.trajectories == len(raws)
    assert done.manifest.counts.quarantined == {"$: longer than a block of 8 MiB": 1}
