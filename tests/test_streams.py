"""Streams: what is compressed is told by its content, and many frames are one text, wherever they meet."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from command_line import environment
from hypothesis import given
from hypothesis import strategies as st

from pipelines.jobs.streams import Packer, open_stream

CHUNK = 1 << 16
"""What Arrow reads of a compressed file at once."""


def frame(data: bytes, kind: str) -> bytes:
    return gzip.compress(data, mtime=0) if kind == "gzip" else bytes(pa.compress(data, codec="zstd", asbytes=True))


def read(path: Path, size: int = -1) -> bytes:
    with open_stream(str(path)) as (stream, source):
        pieces = list(iter(lambda: stream.read(size), b""))
        assert source.consumed == path.stat().st_size
    return b"".join(pieces)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@given(texts=st.lists(st.binary(max_size=50), min_size=1, max_size=8), size=st.sampled_from([1, 7, 1000]))
def test_many_frames_are_one_text(kind: str, texts: list[bytes], size: int, folder: Path) -> None:
    (folder / "many").write_bytes(b"".join(frame(text, kind) for text in texts))
    assert read(folder / "many", size) == b"".join(texts)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("shift", range(-3, 4))
def test_frames_may_meet_at_the_border_of_what_is_read_at_once(kind: str, shift: int, tmp_path: Path) -> None:
    """Bytes that cannot be compressed make frames of any length."""
    noise = Random(1).randbytes(CHUNK + 100)
    length = next(length for length in range(CHUNK - 100, CHUNK + 100) if len(frame(noise[:length], kind)) >= CHUNK)
    for texts in ([noise[: length + shift], b"the end"], [b"", noise[: length + shift], b"", noise[:10], b""]):
        (tmp_path / "border").write_bytes(b"".join(frame(text, kind) for text in texts))
        for size in (-1, 100, CHUNK):
            assert read(tmp_path / "border", size) == b"".join(texts)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_last_frame_that_is_cut_off_is_an_error(kind: str, tmp_path: Path) -> None:
    whole, last = frame(b"first" * 1000, kind), frame(b"second" * 1000, kind)
    for left in range(1, len(last)):
        (tmp_path / "cut").write_bytes(whole + last[:left])
        with pytest.raises(OSError, match="could be read before"):
            read(tmp_path / "cut")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_file_that_is_cut_off_says_how_much_of_it_could_be_read(kind: str, tmp_path: Path) -> None:
    noise = Random(1).randbytes(100_000)
    whole = frame(noise, kind)
    (tmp_path / "cut").write_bytes(whole + frame(noise, kind)[:50_000])
    with pytest.raises(OSError, match=r"bytes of text could be read before") as caught:
        read(tmp_path / "cut")
    consumed, text = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= bytes)", str(caught.value)))
    assert consumed == len(whole) + 50_000
    assert 100_000 <= text < 150_000


@pytest.mark.parametrize("shift", range(16))
def test_a_frame_of_zstd_that_holds_no_text_may_come_first(shift: int, tmp_path: Path) -> None:
    """As `pzstd` and seekable archives write them."""
    skippable = struct.pack("<II", 0x184D2A50 + shift, 5) + b"index"
    (tmp_path / "a").write_bytes(skippable + frame(b"text", "zstd") + skippable + frame(b" more", "zstd"))
    assert read(tmp_path / "a") == b"text more"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@given(texts=st.lists(st.binary(max_size=5000), max_size=4))
def test_what_is_packed_is_read_again(kind: str, texts: list[bytes], folder: Path) -> None:
    packer = Packer(kind)
    for text in texts:
        packer.write(text)
    (folder / "packed").write_bytes(packer.finish())
    assert read(folder / "packed") == b"".join(texts)


def test_every_flipped_bit_of_what_is_packed_is_noticed(tmp_path: Path) -> None:
    """Or at least gives the same text; a file that no longer begins like one of zstd is not taken for text."""
    text = b"".join(b'{"replay_id": "gen9ou-%d"}\n' % (number * number) for number in range(150))
    packer = Packer("zstd")
    packer.write(text)
    packed = packer.finish() * 2
    for place, bit in product(range(len(packed)), range(8)):
        flipped = bytearray(packed)
        flipped[place] ^= 1 << bit
        (tmp_path / "flipped").write_bytes(flipped)
        with contextlib.suppress(OSError):
            found = read(tmp_path / "flipped")
            assert found == text * 2 or (place < 4 and found == flipped)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "plain"])
def test_standard_input_may_be_compressed_and_may_come_byte_by_byte(kind: str) -> None:
    text = b"a line\n" * 100
    code = ("import sys\nfrom pipelines.jobs.streams import Packer, open_stream\n"
            "with open_stream('-') as (stream, _): sys.stdout.buffer.write(stream.read())")
    reading, writing = os.pipe()
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE, env=environment()) as run:
        os.close(reading)
        for byte in text if kind == "plain" else frame(text, kind):
            os.write(writing, bytes([byte]))
        os.close(writing)
        assert run.stdout is not None
        assert run.stdout.read() == text
