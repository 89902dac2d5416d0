"""Texts of the fuzzer's corpus through the kernel, in buffers that end where memory may not be read.

A process of its own, which dies of a segmentation fault where the kernel reads further than it may: the part of a text
that is read in place ends with the NUL that Python puts behind bytes, the tail with PADDING.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
from decoding import scanner  # noqa: E402
from fuzz_texts import SCHEMAS, read_corpus, seeds  # noqa: E402

from pipelines.decode.scan import scanner as module  # noqa: E402
from pipelines.decode.scan.kernel import scan_lines  # noqa: E402
from pipelines.decode.scan.machine import PADDING  # noqa: E402

_SIZE = 1 << 20
_memory = mmap.mmap(-1, _SIZE + mmap.PAGESIZE)
_bytes = np.frombuffer(_memory, np.uint8)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
if _libc.mprotect(_bytes.ctypes.data + _SIZE, mmap.PAGESIZE, 0):
    sys.exit("memory cannot be protected here")


def scan_guarded(data: Any, *arguments: Any) -> Any:
    """scan_lines on a copy whose last byte is the last that may be read."""
    size = len(data) + (data.base is PLACED)
    view = _bytes[_SIZE - size:_SIZE]
    view[: len(data)] = data
    view[len(data):] = 0
    view.flags.writeable = False
    return scan_lines(view, *arguments)


PLACED: Any = None

if __name__ == "__main__":
    scan = scanner()
    module.scan_lines = scan_guarded
    texts = [*seeds(), *read_corpus(), b'{"winner":\n' + b"a" * 2000, b'{"player":\n' + b"1" * 5000]
    for text in texts:
        for tail in (PADDING, 40, 1024):
            module._TAIL = tail
            for schema in SCHEMAS:
                PLACED = text
                scan(text, 0, 0, schema)
    print(f"{len(texts)} texts")
