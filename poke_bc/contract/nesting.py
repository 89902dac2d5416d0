"""How deep a JSON text nests, found without parsing it.

Deeply nested brackets exhaust a parser's stack: pyarrow's takes the process down with it, and Python's gives up at a
depth that depends on its caller. So one limit holds for every reader and is checked before any of them runs.
"""

from __future__ import annotations

import re

import numpy as np

DEEPEST = 64
"""Maximum nesting depth; a trajectory needs five."""

_SKELETON = b'{}[]NI"\\'
_NOT_SKELETON = bytes(set(range(256)) - set(_SKELETON))
_STRING = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"')


def skeleton(text: bytes) -> bytes:
    r"""The characters ``{}[]NI`` outside strings, and a quote where a string does not end.

    N and I occur outside strings only in NaN and Infinity, which are not JSON.

    >>> skeleton(b'{"a]": [1, NaN], "\\"N": {}}')
    b'{[NN]{}}'
    """
    bare = text.translate(None, _NOT_SKELETON)
    escapes = b"\\" in bare and b'\\"' in text
    bare = bare.replace(b"\\", b"").replace(b'""', b"")  # remains of strings without any of these characters
    if escapes or b'"' in bare:
        bare = _STRING.sub(b"", text).translate(None, _NOT_SKELETON)
    return bare


def nesting(skeleton: bytes) -> int:
    """Maximum nesting depth of a skeleton.

    >>> nesting(b"{[{}{}]}")
    3
    """
    opens = np.frombuffer(skeleton.translate(None, b'NI"\\'), np.uint8) & 2  # set in { and [, not in } and ]
    return int(np.cumsum(opens.astype(np.int8) - 1, dtype=np.int64).max(initial=0))
