"""Footers of Parquet files are read by another process first: some damage ends the process that reads them (Arrow does
not catch what its own library throws there), and nothing but that process shall end.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from typing import IO

from pipelines.jobs.urls import is_url, open_input

_TAIL = 8  # the footer's length, and PAR1
_READ_ALL = """
import os, sys
import pyarrow as pa
import pyarrow.parquet as pq
for line in sys.stdin:
    try:
        footer = pq.read_metadata(pa.OSFile(bytes.fromhex(line)))
        for group in range(footer.num_row_groups):
            for column in range(footer.num_columns):
                footer.row_group(group).column(column)
    except Exception:
        pass
    print("survived", flush=True)
"""


class _Reader:
    """The other process: started when needed, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def survives(self, name: str) -> bool:
        """Whether it survived reading a file's footer."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _READ_ALL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                stderr=subprocess.DEVNULL, start_new_session=True)  # Ctrl-C reaches only this process
        wanted, answers = self._pipes(self._process)
        try:
            print(os.fsencode(name).hex(), file=wanted, flush=True)
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
        return bool(answer)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None

    @staticmethod
    def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout


_reader = _Reader()
atexit.register(_reader.close)


def is_deadly(name: str) -> bool:
    """Whether reading the footer of a Parquet file would end the process that reads it."""
    if not is_url(name):
        return not _reader.survives(name)
    with open_input(name) as file, tempfile.NamedTemporaryFile(prefix="poke-bc-") as footer:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _TAIL))
        length = int.from_bytes(file.read()[-_TAIL:-4], "little")
        file.seek(max(0, end - _TAIL - length))
        footer.write(b"PAR1" + file.read())
        footer.flush()
        return not _reader.survives(footer.name)
