"""The ground floor but for schemas and lines: actions, vocabularies, files, errors, manifest, split."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poke_bc.contract.actions import ACTION_NAMES, ALL_ACTIONS, NUM_ACTIONS, pack_actions, unpack_actions
from poke_bc.contract.errors import InputError, PokeBCError, ShardError, UsageError
from poke_bc.contract.files import TEMPORARY, atomic_write, checksum_holds, checksummed, digest, remove_temporaries
from poke_bc.contract.manifest import MANIFEST, Counts, FileEntry, Manifest, ShardEntry, Source
from poke_bc.contract.schema import Schema, load_schema
from poke_bc.contract.split import SPLIT, SPLIT_FILE, TEST, TRAIN, VAL, Split, place_by_hash, read_split, write_split
from poke_bc.contract.trajectory import battle_hash
from poke_bc.contract.vocabulary import NONE, UNKNOWN, Vocabulary

ratios = st.floats(0, 0.5)
hashes = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50).map(lambda each: np.array(each, np.uint64))


# --- actions, vocabularies ----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, ALL_ACTIONS), max_size=20))
def test_packing_actions_is_the_inverse_of_unpacking(bits: list[int]) -> None:
    packed = np.array(bits, np.uint16)
    assert pack_actions(unpack_actions(packed)).tolist() == bits


def test_bit_a_stands_for_action_a() -> None:
    open_ = np.zeros((1, NUM_ACTIONS), bool)
    open_[0, [0, 4]] = True
    assert pack_actions(open_).tolist() == [0b10001]
    assert (ACTION_NAMES[0], ACTION_NAMES[4], len(ACTION_NAMES)) == ("move 0", "switch 0", 10)


def test_a_closed_vocabulary_numbers_its_names_from_two_after_unknown_and_none() -> None:
    vocabulary = Vocabulary.closed("species", ("abra", "kadabra"))
    assert vocabulary.ids == {"none": NONE, "abra": 2, "kadabra": 3}
    assert (UNKNOWN, NONE, vocabulary.size, vocabulary.is_open) == (0, 1, 4, False)
    assert vocabulary.with_size(99).size == 4


def test_an_open_vocabulary_takes_its_size_from_the_data() -> None:
    assert Vocabulary("team").is_open
    assert Vocabulary("team").with_size(7).size == 7


# --- files, errors ------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_file_before_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    def stop_halfway() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"before")]


def test_leftovers_of_killed_writers_can_be_removed(tmp_path: Path) -> None:
    for name in (f"{TEMPORARY}0123abcd-file", f"{TEMPORARY}0123abcd-other", f"{TEMPORARY}notes", "file"):
        (tmp_path / name).write_bytes(b"")
    remove_temporaries(tmp_path, "file")
    assert {each.name for each in tmp_path.iterdir()} == {f"{TEMPORARY}0123abcd-other", f"{TEMPORARY}notes", "file"}
    remove_temporaries(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {f"{TEMPORARY}notes", "file"}


json_values = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(value=st.dictionaries(st.text().filter(lambda key: key != "xxh3"), json_values, min_size=1), data=st.data())
def test_a_digest_holds_after_reading_back_and_fails_when_anything_changed(value: dict[str, object],
                                                                          data: st.DataObject) -> None:
    sealed = json.loads(json.dumps(checksummed(value)))
    assert checksum_holds(sealed)
    key = data.draw(st.sampled_from(sorted(value)))
    assert not checksum_holds(sealed | {key: [sealed[key]]})
    assert not checksum_holds({other: item for other, item in sealed.items() if other != "xxh3"})


def test_an_error_comes_back_whole_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(InputError("what", hint="next")))
    assert (type(error), error.what, error.hint, str(error)) == (InputError, "what", "next", "what")
    assert isinstance(error, PokeBCError)


# --- manifest -----------------------------------------------------------------------------------------------


def make_manifest() -> Manifest:
    basic = load_schema("basic")
    sized = Schema(basic.name, basic.version, basic.fields,
                   {name: vocabulary.with_size(5) for name, vocabulary in basic.vocabularies.items()})
    file = FileEntry(name="shard-00000-0123abcd.arrow", bytes=10, xxh3="0" * 16)
    return Manifest(
        schema=sized, producer="0.0.1", limit=3,
        sources=(Source(name="späte Kämpfe.jsonl", bytes=7, lines=1, trajectories=1, decisions=2, quarantined=1,
                        fields=1, xxh3="1" * 16),),
        shards=(ShardEntry(rows=file, trajectories=file, row_count=2, trajectory_count=1),),
        counts=Counts(battles=1, trajectories=1, decisions=2, observed=2, with_legal=1, quarantined={"$: bad": 1}))


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = make_manifest()
    manifest.write(tmp_path)
    again = Manifest.read(tmp_path)
    assert again == manifest
    assert again.identity == manifest.identity
    assert again.schema.vocabularies["species"].size == 5


@pytest.mark.parametrize(("with_legal", "expected"), [(0, "none"), (1, "some"), (2, "all")])
def test_the_manifest_says_which_decisions_have_a_legal_mask(with_legal: int, expected: str) -> None:
    manifest = make_manifest()
    assert Manifest(**{**vars(manifest), "counts": Counts(decisions=2, with_legal=with_legal)}).legal_masks == expected


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_manifest_is_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    make_manifest().write(folder)
    content = bytearray((folder / MANIFEST).read_bytes())
    content[place % len(content)] ^= 1 << bit
    (folder / MANIFEST).write_bytes(content)
    try:
        found = Manifest.read(folder)
    except ShardError:
        return
    assert found == make_manifest()  # it was a bit of white space


def test_a_manifest_of_another_format_version_is_refused_with_the_command_that_replaces_it(tmp_path: Path) -> None:
    make_manifest().write(tmp_path)
    value = json.loads((tmp_path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_text(json.dumps(checksummed(value | {"format": 1})))
    with pytest.raises(ShardError, match=r"format 1, this poke-bc reads format 2") as caught:
        Manifest.read(tmp_path)
    assert "poke-bc preprocess" in caught.value.hint


@given(key=st.sampled_from(["producer", "schema", "vocabulary_sizes", "limit", "counts", "sources", "shards"]),
       value=json_values)
def test_a_manifest_with_any_value_under_a_correct_digest_is_read_or_refused_without_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    make_manifest().write(folder)
    stored = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(checksummed(stored | {key: value})), "utf-8")
    with contextlib.suppress(PokeBCError):
        assert Manifest.read(folder).schema.fields == make_manifest().schema.fields


def test_a_wrong_value_in_a_manifest_is_named_by_its_path(tmp_path: Path) -> None:
    make_manifest().write(tmp_path)
    stored = json.loads((tmp_path / MANIFEST).read_bytes())
    stored["shards"][0]["rows"]["bytes"] = "10"
    (tmp_path / MANIFEST).write_text(json.dumps(checksummed(stored)))
    with pytest.raises(ShardError, match=r"\$\.shards\[0\]\.rows\.bytes"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"null", b'{"format": 1}'])
def test_a_file_that_is_not_a_manifest_is_a_shard_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ShardError):
        Manifest.read(tmp_path)


def test_a_folder_without_a_manifest_is_not_a_data_set(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=r"no shards here"):
            Manifest.read(folder)


# --- split --------------------------------------------------------------------------------------------------


@given(battles=hashes, seed=st.integers(0, 2**40), val=ratios, test=st.floats(0, 0.4), more=hashes)
def test_a_battle_keeps_its_split_whatever_else_is_there(battles: np.ndarray, seed: int, val: float, test: float,
                                                        more: np.ndarray) -> None:
    alone = place_by_hash(battles, seed, val, test)
    assert place_by_hash(np.concatenate([more, battles, battles]), seed, val, test)[len(more) :].tolist() == [
        *alone,
        *alone,
    ]


@given(battles=hashes, seed=st.integers(0, 2**40), vals=st.tuples(ratios, ratios), test=st.floats(0, 0.4))
def test_another_val_ratio_moves_nothing_into_or_out_of_test(battles: np.ndarray, seed: int,
                                                             vals: tuple[float, float], test: float) -> None:
    small, large = (place_by_hash(battles, seed, val, test) for val in sorted(vals))
    assert ((small == TEST) == (large == TEST)).all()
    assert (large[small == VAL] == VAL).all()


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize(("val", "test"), [(0.1, 0.0), (0.2, 0.3), (0.0, 0.01)])
def test_splits_have_the_requested_fraction_of_battles(seed: int, val: float, test: float) -> None:
    n = 20_000
    battles = np.array([battle_hash(f"gen9ou-{number}") for number in range(n)], np.uint64)
    splits = place_by_hash(battles, seed, val, test)
    for split, ratio in ((TRAIN, 1 - val - test), (VAL, val), (TEST, test)):
        spread = 5 * math.sqrt(n * ratio * (1 - ratio))
        assert abs((splits == split).sum() - n * ratio) <= spread


def test_another_seed_is_another_split() -> None:
    battles = np.arange(1000, dtype=np.uint64)
    assert (place_by_hash(battles, 1, 0.5, 0) != place_by_hash(battles, 2, 0.5, 0)).mean() == pytest.approx(
        0.5, abs=0.1
    )


def make_split(folder: Path) -> None:
    splits = np.array([0, 1, 2], np.uint8)
    write_split(folder, Split(by="battle", seed=1, val_ratio=0.1, test_ratio=0.1, data="d" * 16,
                              file_xxh3=digest(splits.tobytes()), counts={}), splits)


def test_a_split_reads_back_as_it_was_written(tmp_path: Path) -> None:
    make_split(tmp_path)
    split, splits = read_split(tmp_path, "d" * 16)
    assert (split.by, split.seed, splits.tolist()) == ("battle", 1, [0, 1, 2])


def test_a_split_that_is_missing_damaged_or_of_other_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"not split"):
        read_split(tmp_path, "d" * 16)
    make_split(tmp_path)
    with pytest.raises(ShardError, match=r"other shards"):
        read_split(tmp_path, "e" * 16)
    (tmp_path / SPLIT_FILE).write_bytes(b"\0\1\1")
    with pytest.raises(ShardError, match=r"damaged"):
        read_split(tmp_path, "d" * 16)
    for content in (b"[]", b"{", b"\xff", b'{"version": 9}'):
        (tmp_path / SPLIT).write_bytes(content)
        with pytest.raises(ShardError):
            read_split(tmp_path, "d" * 16)
