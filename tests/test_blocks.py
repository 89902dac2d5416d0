"""Cutting a text into blocks: every line in exactly one, whatever the way it is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.decode import Text
from pipelines.jobs.streams import BOM
from pipelines.preprocess.text_blocks import text_blocks
from poke_bc.contract.errors import InputError

bodies = st.one_of(
    st.lists(st.sampled_from([b"a", b"b", b"\n", b"\r\n"]), max_size=60).map(b"".join),
    st.lists(st.integers(0, 40).map(lambda length: b"x" * length + b"\n"), max_size=12).map(b"".join),
    st.binary(max_size=60),
).filter(lambda text: not text.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")))  # which are compressed
texts = st.builds(bytes.__add__, st.sampled_from([b"", BOM]), bodies)
sizes = st.sampled_from([1, 2, 3, 4, 7, 8, 16, 33])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks")


def read_blocks(path: Path, content: bytes, size: int) -> list[Text]:
    path.write_bytes(content)
    return [block.read() for block in text_blocks(str(path), size)]


def lines_of(blocks: list[Text]) -> list[tuple[int, bytes | None]]:
    """(offset, line without its newline) of every line; None for a line that was too long."""
    found: list[tuple[int, bytes | None]] = []
    for block in blocks:
        at = block.byte
        for line in _split(block.data):
            found.append((at, line.removesuffix(b"\n")))
            at += len(line)
        if block.long_line is not None:
            assert block.long_line == at
            found.append((block.long_line, None))
    return found


def _split(text: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def plain_lines(text: bytes, size: int) -> list[tuple[int, bytes | None]]:
    at, found = len(BOM) * text.startswith(BOM), []
    for line in _split(text[at:]):
        bare = line.removesuffix(b"\n")
        found.append((at, bare if len(bare) <= size else None))
        at += len(line)
    return found


@given(text=texts, size=sizes)
@example(text=b"aaaa\n", size=4)
@example(text=b"aaaaa\n", size=4)
@example(text=b"aaaaaaaaa", size=4)
@example(text=b"a\naaa\r\n\r\n", size=4)
@example(text=BOM, size=1)
@example(text=BOM + b"a\n\nb", size=1)
@example(text=BOM + b"aaa\nb\n", size=2)
@example(text=BOM + b"aaa", size=3)
def test_every_line_is_in_exactly_one_block_with_its_offset(folder: Path, text: bytes, size: int) -> None:
    blocks = read_blocks(folder / "plain.jsonl", text, size)
    assert lines_of(blocks) == plain_lines(text, size)
    assert sum(block.lines for block in blocks) == len(plain_lines(text, size))


@given(text=texts, size=sizes)
def test_a_stream_is_cut_where_a_file_is_cut(folder: Path, text: bytes, size: int) -> None:
    plain = read_blocks(folder / "plain.jsonl", text, size)
    assert read_blocks(folder / "packed.jsonl.gz", gzip.compress(text, 1), size) == plain
    if text:
        assert read_blocks(folder / "packed.jsonl.zst", pa.compress(text, codec="zstd", asbytes=True), size) == plain


@given(text=texts, size=sizes)
def test_no_block_is_larger_than_two(folder: Path, text: bytes, size: int) -> None:
    assert all(len(block.data) <= 2 * size + 1 for block in read_blocks(folder / "plain.jsonl", text, size))


def test_a_block_starts_with_the_first_line_that_starts_in_it(folder: Path) -> None:
    blocks = read_blocks(folder / "plain.jsonl", b"abc\ndefg\nh\n", 4)
    assert [(block.byte, block.data) for block in blocks] == [(0, b"abc\n"), (4, b"defg\n"), (9, b"h\n")]


def test_a_line_longer_than_a_block_is_counted_but_not_read(folder: Path) -> None:
    blocks = read_blocks(folder / "plain.jsonl", b"ab\n" + b"x" * 50 + b"\ncd\n", 8)
    assert blocks[0] == Text(b"ab\n", 0, long_line=3)
    assert blocks[0].lines == 2
    assert [block.data for block in blocks if block.lines][1:] == [b"cd\n"]


def test_an_empty_file_has_no_blocks(folder: Path) -> None:
    assert read_blocks(folder / "plain.jsonl", b"", 4) == []
    assert read_blocks(folder / "packed.jsonl.gz", gzip.compress(b""), 4) == []


def test_two_compressed_pieces_one_after_the_other_are_one_text(folder: Path) -> None:
    halves = b"first\n" * 50, b"second\n" * 50
    packed = {"joined.jsonl.gz": b"".join(map(gzip.compress, halves)),
              "joined.jsonl.zst": b"".join(pa.compress(half, codec="zstd", asbytes=True) for half in halves)}
    for name, content in packed.items():
        assert b"".join(block.data for block in read_blocks(folder / name, content, 64)) == b"".join(halves), name


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compression_that_is_cut_off_or_damaged_is_an_error_never_a_shorter_text(folder: Path, ending: str) -> None:
    text = b"".join(b'{"line": %d}\n' % number for number in range(5000))
    packed = gzip.compress(text) if ending == "gz" else pa.compress(text, codec="zstd", asbytes=True)
    for broken in (packed[:-1], packed[: len(packed) // 2], packed[:5]):
        with pytest.raises(InputError, match=r"broken.*cannot be read"):
            read_blocks(folder / f"broken.jsonl.{ending}", broken, 1000)
