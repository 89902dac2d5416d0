"""Which reader takes text: Arrow from the first byte, the scanner when it has been compiled, equal bytes either way."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from command_line import environment, run_cli, run_python
from decoding import plain, scanner
from file_trees import files
from trajectories import make_trajectories, to_text, write_raw

from pipelines.decode import Decoder, Text, decoder, describe, is_compiled
from pipelines.decode.exact import decode_exact
from pipelines.decode.scan import cache
from pipelines.preprocess import preprocess
from poke_bc.contract.schema import load_schema

BASIC = load_schema("basic")
TEXT = Text(to_text(make_trajectories(3)), 0)
LARGE = 1 << 40
COPY = "import shutil, sys; shutil.copytree({compiled!r}, sys.argv[2])"
"""Run in place of the compiler: what it would make, from the cache of this machine."""


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache: where compiled code would go. The compiler only copies what it made earlier."""
    scanner()
    monkeypatch.setattr(decoder, "_COMPILE", COPY.format(compiled=str(cache.compiled_folder())))
    with empty_cache(tmp_path / "cache", monkeypatch) as folder:
        yield folder


@contextlib.contextmanager
def empty_cache(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("POKE_BC_DECODER", raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(path))
    cache.compiled_folder.cache_clear()
    yield cache.compiled_folder()
    cache.compiled_folder.cache_clear()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process ids of the compilers that are started."""
    pids: list[int] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = before(*arguments, **options)
        pids.append(process.pid)
        return process

    before = subprocess.Popen
    monkeypatch.setattr(decoder.subprocess, "Popen", start)
    return pids


def wait_for_the_compiler(owner: Decoder) -> None:
    assert owner._compiler is not None
    owner._compiler.wait()


def test_a_small_text_neither_loads_nor_compiles_anything(cold: Path, started: list[int]) -> None:
    with mock.patch.object(decoder, "load", side_effect=AssertionError("loaded")), Decoder(10_000) as owner:
        for read in (0, 5_000, 10_000):
            owner.update(read)
    assert (started, owner.name, owner.advice) == ([], "arrow", None)


def test_a_pipe_begins_with_arrow_and_compiles_only_once_it_turns_out_long(cold: Path, started: list[int]) -> None:
    with Decoder(None, processes=2) as owner:
        for read in (0, decoder.WORTH_LOADING, 2 * decoder.WORTH_COMPILING - 1):
            owner.update(read)
            assert started == []
        owner.update(2 * decoder.WORTH_COMPILING)
        assert len(started) == 1
        wait_for_the_compiler(owner)
        owner.update(LARGE)
    assert owner.name == "arrow, then scanner"


def test_what_arrow_reads_before_a_compiler_is_done_is_left_to_arrow(cold: Path, started: list[int]) -> None:
    for size, advised in ((decoder.WORTH_COMPILING - 1, True), (decoder.WORTH_LOADING, False)):
        with Decoder(size) as owner:
            owner.update()
        assert started == []
        assert ("POKE_BC_DECODER=scanner" in (owner.advice or "")) == advised


def test_compiled_code_is_used_from_the_first_byte_where_that_pays(cold: Path, started: list[int]) -> None:
    with Decoder(LARGE) as first:
        first.update()
        wait_for_the_compiler(first)
    assert is_compiled()
    for expected, name in ((decoder.WORTH_LOADING, "scanner"), (decoder.WORTH_LOADING - 1, "arrow")):
        with Decoder(expected) as owner:
            owner.update()
            assert owner.name == name
    assert len(started) == 1


def test_a_copy_knows_what_its_owner_had_reached_and_never_compiles(cold: Path, started: list[int]) -> None:
    with Decoder(LARGE) as owner:
        owner.update()
        early = pickle.loads(pickle.dumps(owner))
        wait_for_the_compiler(owner)
        owner.update()
        late = pickle.loads(pickle.dumps(owner))
    expected = plain(decode_exact(TEXT.data, 0, 0, BASIC)[0])
    with mock.patch.object(decoder, "_scanner", wraps=decoder._scanner) as asked:
        assert plain(early.decode(TEXT, BASIC)[0]) == expected
        assert not asked.called
        assert plain(late.decode(TEXT, BASIC)[0]) == expected
        asked.assert_called_once_with(cold)
    shutil.rmtree(cold)  # a process that comes too late to load it
    decoder._scanner.cache_clear()
    assert plain(late.decode(TEXT, BASIC)[0]) == expected
    assert len(started) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_changing_over_in_the_middle_gives_equal_bytes(workers: int, cold: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(60))
    options: dict[str, Any] = {"block_bytes": 6000, "workers": workers}
    with mock.patch.dict(os.environ, POKE_BC_DECODER="arrow"):
        assert preprocess([raw], tmp_path / "arrow", **options).decoder == "arrow"
    monkeypatch.setattr(decoder, "WORTH_LOADING", 1)
    monkeypatch.setattr(decoder, "WORTH_COMPILING", 1)
    owners: list[Decoder] = []
    monkeypatch.setattr(Decoder, "__enter__", lambda owner: owners.append(owner) or owner)
    blocks = 0

    def wait_at_the_fifth_block(stage: str, *_: object) -> None:
        nonlocal blocks
        blocks += stage == "reading"
        if blocks == 5:
            wait_for_the_compiler(owners[0])

    done = preprocess([raw], tmp_path / "both", progress=wait_at_the_fifth_block, **options)
    assert done.decoder == "arrow, then scanner"
    assert blocks > 15
    assert files(tmp_path / "both") == files(tmp_path / "arrow")


@pytest.mark.parametrize("code", ["raise SystemExit('no room left')", "import os, signal; os.kill(os.getpid(), 9)"])
def test_a_compiler_that_fails_leaves_the_work_to_arrow_and_is_not_started_again(
        code: str, cold: Path, started: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_COMPILE", code)
    with Decoder(LARGE) as owner:
        owner.update()
        wait_for_the_compiler(owner)
        for _ in range(3):
            owner.update(1)
        assert plain(owner.decode(TEXT, BASIC)[0]) == plain(decode_exact(TEXT.data, 0, 0, BASIC)[0])
    assert len(started) == 1
    assert owner.name == "arrow"
    assert owner.advice is not None
    assert ("no room left" if "room" in code else "the compiler was killed") in owner.advice
    assert list(cold.parent.iterdir()) == []


def test_damaged_code_is_removed_and_compiled_once_more(cold: Path, started: list[int]) -> None:
    shutil.copytree(Path(decoder._COMPILE.split("'")[1]), cold)
    for path in cold.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:7] if path.suffix == ".nbc" else b"")
    damaged = run_python(
        "import sys\nfrom pipelines.decode import Decoder, is_compiled\n"
        "decoder = Decoder(int(sys.argv[1]))\ndecoder.update()\nprint(decoder.name, is_compiled(), decoder.advice)",
        str(decoder.WORTH_LOADING))  # another process: this one has loaded it
    assert damaged.stdout == "arrow False None\n", damaged.stderr
    with Decoder(LARGE) as owner:
        owner.update()
        wait_for_the_compiler(owner)
        owner.update(1)
        assert owner.name == "arrow, then scanner"


def test_loading_never_compiles(cold: Path) -> None:
    code = ("import sys, pathlib\nfrom pipelines.decode.scan.cache import load\n"
            "try: load(pathlib.Path(sys.argv[1]))\nexcept Exception as error: print(type(error).__name__)")
    assert run_python(code, cold).stdout == "NotCompiledError\n"


def test_where_nothing_can_be_kept_it_is_compiled_for_this_run_alone(
        tmp_path: Path, cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with empty_cache(Path("/proc/none"), monkeypatch), Decoder(LARGE) as owner:
        owner.update()
        wait_for_the_compiler(owner)
        owner.update(1)
        assert owner.name == "arrow, then scanner"
        assert list(tmp_path.glob("poke-bc-*"))
    assert not list(tmp_path.glob("poke-bc-*"))


def test_the_one_who_compiles_second_takes_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "code").write_text("")
    with mock.patch.object(cache, "_scan_nothing"), mock.patch.object(cache, "_end_with_the_parent"):
        cache.compile_into(tmp_path / "mine", tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["code"]


def test_compiled_code_is_kept_apart_for_every_state_of_the_sources(tmp_path: Path) -> None:
    shutil.copytree(Path(cache.__file__).parent, tmp_path / "scan", ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.spec_from_file_location("cache_copy", tmp_path / "scan" / "cache.py")
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    before = copy.compiled_folder.__wrapped__()
    assert before == copy.compiled_folder.__wrapped__()
    assert before != cache.compiled_folder()
    with open(tmp_path / "scan" / "numbers.py", "a") as file:
        file.write("# changed\n")
    assert copy.compiled_folder.__wrapped__() != before


@pytest.mark.parametrize("missing", ["llvmlite", "numba", "pipelines.decode.scan.scanner"])
def test_without_numba_arrow_does_the_work_and_the_user_is_told(missing: str, tmp_path: Path) -> None:
    scanner()
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(3))
    done = run_python(
        "import sys\nsys.modules[sys.argv[1]] = None\n"
        "from pipelines.decode import decoder, describe\nfrom pipelines.preprocess import preprocess\n"
        "decoder.WORTH_LOADING = 1\n"
        "done = preprocess([sys.argv[2]], sys.argv[3], workers=1)\n"
        "print(done.decoder, done.advice, describe(), sep='|')",
        missing, raw, tmp_path / "out")
    name, advice, described = done.stdout.split("|")
    assert name == "arrow"
    assert "pip install" in advice
    assert ("pip install" in described) == (missing != "pipelines.decode.scan.scanner")


@pytest.mark.parametrize("variable", ["POKE_BC_DECODER", "NUMBA_DISABLE_JIT"])
def test_the_scanner_can_be_switched_off(variable: str, monkeypatch: pytest.MonkeyPatch, started: list[int]) -> None:
    scanner()
    monkeypatch.setenv(variable, {"POKE_BC_DECODER": "arrow", "NUMBA_DISABLE_JIT": "1"}[variable])
    assert not is_compiled()
    with Decoder(LARGE) as owner:
        owner.update()
    assert (owner.name, owner.advice, started) == ("arrow", None, [])
    assert variable in describe()


def test_the_command_says_which_decoder_ran(tmp_path: Path) -> None:
    scanner()
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(3))
    for name in ("arrow", "scanner"):
        with mock.patch.dict(os.environ, POKE_BC_DECODER=name):
            done = run_cli("preprocess", raw, "--out", tmp_path / name)
        assert f"decoder: {name}\n" in done.stdout, done
    assert files(tmp_path / "arrow") == files(tmp_path / "scanner")


class Interrupts:
    """An attribute that is there when Ctrl-C comes while its class is created."""

    def __set_name__(self, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_while_numba_is_imported_is_not_lost(tmp_path: Path) -> None:
    """Python 3.11 makes a RuntimeError of it, which Numba raises too where it does not work."""
    def importing() -> Path:
        type("Made", (), {"attribute": Interrupts()})
        return tmp_path

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (mock.patch("pipelines.decode.decoder.compiled_folder", importing), Decoder(LARGE) as owner,
              pytest.raises(KeyboardInterrupt)):
            owner.update()
    finally:
        signal.signal(signal.SIGINT, before)


RUN = """
import signal, time
from pipelines.decode import Decoder
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a process that a script left in the background
with Decoder(1 << 40) as decoder:
    decoder.update()
    print(decoder._compiler.pid, flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


def end_normally(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("end", [subprocess.Popen.kill, subprocess.Popen.terminate, end_normally],
                         ids=["killed", "terminated", "Ctrl-C"])
def test_the_compiler_ends_with_the_process_that_started_it(
        end: Callable[[subprocess.Popen[bytes]], None], tmp_path: Path) -> None:
    """A real one, a second into its work; and it leaves nothing behind."""
    process = subprocess.Popen([sys.executable, "-c", RUN], env=environment() | {"NUMBA_CACHE_DIR": str(tmp_path)},
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    compiler = int(process.stdout.readline())
    folder = tmp_path / "poke-bc"
    while not list(folder.rglob("*.nbc")):  # the first of two functions is compiled
        time.sleep(0.05)
    end(process)
    process.wait()
    process.stdout.close()
    while is_running(compiler) or list(folder.iterdir()):
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
