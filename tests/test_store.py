"""The store of a job: what is in it is either as it was written or counts as missing, and nothing else is touched."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.jobs.store import PartStore, code_digest, open_store
from poke_bc.contract.errors import ShardError, UsageError


class Receipt(msgspec.Struct, frozen=True):
    trajectories: int
    name: str = ""


def make(store: PartStore[Receipt], number: int, body: bytes, receipt: Receipt) -> None:
    with store.create(number) as part:
        part.write(body)
        part.commit(receipt)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@given(body=st.binary(max_size=100), name=st.text(max_size=20), data=st.data())
def test_a_part_is_read_as_it_was_written_or_not_at_all(body: bytes, name: str, data: st.DataObject,
                                                        folder: Path) -> None:
    store, receipt = PartStore(folder, Receipt), Receipt(1, name)
    make(store, 7, body, receipt)
    assert store.find(7) == receipt
    assert store.reuse(7, lambda found: found == receipt) == receipt
    assert store.reuse(7, lambda found: False) is None
    assert store.body(7) == body
    content = bytearray(store.path(7).read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)):]
    store.path(7).write_bytes(content)
    assert store.reuse(7, lambda found: True) is None
    with pytest.raises(ShardError, match="damaged"):
        store.body(7)


def test_a_task_that_runs_twice_at_the_same_time_leaves_a_part_and_no_other_file(tmp_path: Path) -> None:
    store = PartStore(tmp_path, Receipt)
    with store.create(0) as late:
        late.write(b"body")
        make(store, 0, b"body", Receipt(1))
        assert store.body(0) == b"body"  # whole, though another one is being written
        late.commit(Receipt(1))
    assert store.body(0) == b"body"
    assert [path.name for path in tmp_path.iterdir()] == ["000000.part"]


def test_what_a_task_of_an_earlier_run_writes_late_does_not_get_into_the_next(tmp_path: Path) -> None:
    store = PartStore(tmp_path, Receipt)

    def write_late() -> None:
        with store.create(0) as late:
            late.write(b"body")
            late.commit(Receipt(1))
            store.follow({"options": "others"})

    with pytest.raises(FileNotFoundError):
        write_late()
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_part_without_a_receipt_does_not_count(tmp_path: Path) -> None:
    store = PartStore(tmp_path, Receipt)
    with store.create(0) as part:
        part.write(b"half")
    assert store.find(0) is None
    assert list(store.finished()) == []


def test_parts_of_another_plan_and_leavings_are_removed_and_nothing_else(tmp_path: Path) -> None:
    store = PartStore(tmp_path, Receipt)
    for name in ("notes.txt", "notes", "lock"):
        (tmp_path / name).write_text("mine")
    for plan, kept in (({"a": 1}, 0), ({"a": 1}, 1), ({"a": 2}, 0)):
        (tmp_path / ".tmp-12345678-output").touch()
        (tmp_path / "000003.battles").touch()
        store.job_file("corpus").touch()
        store.follow(plan)
        assert len(list(store.finished())) == kept
        left = {path.name for path in tmp_path.iterdir()} - {"000001.part"}
        assert left == {"notes.txt", "notes", "lock", "plan.json"}
        make(store, 1, b"body", Receipt(1))
    store.remove()
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "notes"}


@pytest.mark.parametrize("error", [UsageError("no", hint="no"), KeyboardInterrupt()])
@pytest.mark.parametrize("trajectories", [0, 1])
def test_a_store_is_kept_if_it_holds_trajectories(error: BaseException, trajectories: int, tmp_path: Path) -> None:
    def run() -> None:
        with open_store(tmp_path / "out" / ".parts", Receipt, tmp_path / "out", ShardError) as store:
            make(store, 0, b"", Receipt(trajectories))
            raise error

    with pytest.raises(type(error)) as caught:
        run()
    assert (tmp_path / "out").exists() == (trajectories > 0 or isinstance(error, KeyboardInterrupt))
    assert ("finished tasks are kept" in str(caught.value)) == (trajectories > 0 and type(error) is KeyboardInterrupt)


def test_what_the_file_system_refuses_is_an_error_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match=r"file.*Not a directory") as caught, \
            open_store(tmp_path / "file" / ".parts", Receipt, tmp_path / "file", ShardError):
        raise AssertionError
    assert "finished tasks are kept" in caught.value.hint


def test_the_digest_of_code_is_that_of_its_files_but_not_of_what_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    package = tmp_path / "some_package_of_a_test"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").touch()
    digests = [code_digest(package.name)]
    for name in ("__pycache__/kernel.nbi", "__pycache__/__init__.pyc", "table.json.gz", "below/module.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("changed")
        digests.append(code_digest(package.name))
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 3
    with pytest.raises(ModuleNotFoundError):
        code_digest("no_such_package_of_a_test")
