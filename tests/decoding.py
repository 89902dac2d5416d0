"""What the decoder's tests share: comparing what it gives, and small limits so that short texts take every way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

from pipelines.decode import Bad, Decoded, Decoder, Text, decode
from pipelines.decode.decoder import Scan
from pipelines.decode.exact import decode_exact
from poke_bc.contract.schema import Schema


@contextmanager
def small_limits(exact: int = 300, infer: int = 900) -> Iterator[None]:
    """Texts above `exact` bytes are halved; above `infer` bytes unknown keys are learned from the first lines."""
    with (
        mock.patch("pipelines.decode.decoder._EXACT_BYTES", exact),
        mock.patch("pipelines.decode.arrow_json._INFER_BYTES", infer),
    ):
        yield


def plain(decoded: Decoded) -> dict[str, Any]:
    """Everything a decoded text holds, comparable to the last bit."""
    return {
        **{name: (str(column.dtype), column.shape, column.tobytes()) for name, column in decoded.rows.items()},
        "trajectories": repr(decoded.trajectories.to_pylist()),  # repr tells -0.0 from 0.0
        "types": decoded.trajectories.schema,
        "unknown": dict(decoded.unknown),
        "present": dict(decoded.present),
    }


@cache
def scanner() -> Scan:
    """The scanner, compiled first if it never was on this machine."""
    with mock.patch.dict(os.environ, POKE_BC_DECODER="scanner"), Decoder() as decoder:
        decoder.update()
        assert decoder.scanning, decoder.advice
    from pipelines.decode.scan.scanner import scan

    return scan


def by_decode(text: bytes, schema: Schema, byte: int = 0, *, scanning: bool = True) -> tuple[dict[str, Any], list[Bad]]:
    """With the scanner, or else with Arrow."""
    decoded, bad = decode(Text(text, byte), schema, scan=scanner() if scanning else None)
    return plain(decoded), list(bad)


def by_hand(text: bytes, schema: Schema, byte: int = 0) -> tuple[dict[str, Any], list[Bad]]:
    """The whole text line by line through the contract's reader."""
    decoded, bad = decode_exact(text, 0, byte, schema)
    return plain(decoded), bad
