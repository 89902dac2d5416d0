"""What the README shows can be typed as it stands: its poke-bc commands and its Python run, in their order.

They run in an empty folder in which `replays/` holds battles like those of the replay site. Only two things differ from
the README: words of PLACEHOLDERS are replaced, and options of MORE keep a command short enough for a test.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pytest
from command_line import REPOSITORY, run_cli, run_python

README = (REPOSITORY / "README.md").read_text("utf-8")
PLACEHOLDERS = {"PATH": "data/shards", "FILE": "raw.jsonl", "RUN": "runs/bc", "SHARDS": "data/shards"}
"""Word -> what a reader would put in its place."""
MORE = {"train": ["--steps", "20", "--batch-size", "64", "--device", "cpu"]}
"""Command -> options that are added."""
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*([\w+-]*)[^`]*$")


@dataclass(frozen=True)
class Block:
    """Code in a Markdown text."""

    language: str
    """Of the fence; "" for an indented block."""
    text: str

    @property
    def is_python(self) -> bool:
        return self.language in ("python", "py", "pycon") or bool(
            not self.language and re.match(r"(>>> |from \w[\w.]* import |import \w)", self.text))


def blocks(markdown: str) -> Iterator[Block]:
    """Fenced blocks, and those indented by four spaces behind an empty line, in their order."""
    lines = iter(markdown.splitlines())
    plain: list[str] = []
    for line in lines:
        if fence := FENCE.match(line):
            yield from _indented(plain)
            plain = []
            inside = []
            for code in lines:
                if code.strip().startswith(fence[1]) and not code.strip().strip(fence[1][0]):
                    break
                inside.append(code)
            yield Block(fence[2].lower(), "\n".join(inside))
        else:
            plain.append(line)
    yield from _indented(plain)


def _indented(lines: list[str]) -> Iterator[Block]:
    for paragraph_is_code, group in groupby([*_paragraphs(lines)], key=lambda each: each[0].startswith("    ")):
        if paragraph_is_code:
            yield Block("", "\n\n".join("\n".join(line[4:] for line in paragraph) for paragraph in group))


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    for empty, group in groupby(lines, key=lambda line: not line.strip()):
        if not empty:
            yield list(group)


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of each poke-bc line; a comment begins with # or two spaces."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = re.sub(r"(\s+#.*|(?<=\S)\s{2,}(?=[^-\s]).*)$", "", part.strip().removeprefix("$ "))
            if words.startswith("poke-bc "):
                yield shlex.split(words)[1:]


def python_of(text: str) -> str:
    """Without the prompts, and without what they show as printed."""
    if not text.lstrip().startswith(">>>"):
        return text
    return "\n".join(line[4:] for line in text.splitlines() if line.startswith((">>>", "...")))


SHELL = [arguments for block in blocks(README) if not block.is_python for arguments in commands(block.text)]
PYTHON = [python_of(block.text) for block in blocks(README) if block.is_python]


def test_blocks_are_found_however_they_are_marked() -> None:
    text = ("Text\n\n    poke-bc info   what it is\n\n    poke-bc split \\\n      --seed 1\n\n"
            "```sh\n$ poke-bc inspect X # it\n```\n\n"
            "~~~python\nimport os\n\nos.getcwd()\n~~~\n\n"
            "    >>> 1 + 1\n    2\n    >>> import os\n\n- a list\n")
    found = list(blocks(text))
    assert [block.language for block in found] == ["", "sh", "python", ""]
    assert [block.is_python for block in found] == [False, False, True, True]
    assert [words for block in found for words in commands(block.text)] == [
        ["info"], ["split", "--seed", "1"], ["inspect", "X"]]
    assert python_of(found[3].text) == "1 + 1\nimport os"


def write_replays(folder: Path) -> None:
    """Twenty battles of the sample as replays of gen9ou, of players with a rating."""
    folder.mkdir()
    sample = REPOSITORY / "data" / "sample" / "battles.jsonl.zst"
    with pa.input_stream(str(sample), compression="zstd") as stream:
        records = [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]
    chosen = [record for record in records if record["format"].startswith("gen9")][:20]
    assert len(chosen) == 20
    for number, record in enumerate(chosen):
        log = re.sub(r"^(\|player\|p[12]\|[^|]*\|[^|]*)\|.*$", r"\1|1650", "\n".join(record["spectator"]), flags=re.M)
        replay = {"id": f"gen9ou-{number}", "formatid": "gen9ou", "format": "[Gen 9] OU", "log": log, "rating": 1650}
        (folder / f"gen9ou-{number}.json").write_text(json.dumps(replay), "utf-8")


@pytest.fixture(scope="module")
def after_the_commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all commands of the README were run."""
    folder = tmp_path_factory.mktemp("reader")
    write_replays(folder / "replays")
    for arguments in SHELL:
        words = [PLACEHOLDERS.get(word, word) for word in arguments]
        done = run_cli(*words, *MORE.get(words[0], []), cwd=folder)
        assert done.code == 0, (arguments, done.stderr)
    return folder


def test_the_commands_run(after_the_commands: Path) -> None:
    assert {"convert", "preprocess", "split", "train", "evaluate"} <= {arguments[0] for arguments in SHELL}
    assert (after_the_commands / "raw.jsonl").stat().st_size > 10_000


def test_the_python_runs(after_the_commands: Path) -> None:
    assert PYTHON
    for code in PYTHON:
        done = run_python(f"import os, sys\nos.chdir(sys.argv[1])\n{code}", after_the_commands)
        assert done.code == 0, (code, done.stderr)
