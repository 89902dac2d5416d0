"""Decoding: lines of text and rows of tables -> rows of a data set, and reasons for the invalid ones.

    text.py        whole lines, and where they are in their source
    table.py       rows of an Arrow table -> decoded
    decoder.py     text -> decoded; the choice among the readers below
    scan/          the scanner: bytes straight into rows, compiled by Numba
    arrow_json.py  text through Arrow's JSON reader
    columns.py     Arrow's columns -> rows, with vectorised checks
    exact.py       line by line through the contract's definition of a trajectory, which is authoritative
    decoded.py     the result of every reader
"""

from pipelines.decode.decoded import Bad, Decoded, concat
from pipelines.decode.decoder import Decoder, decode, describe, is_compiled
from pipelines.decode.table import decode_batch, row_of
from pipelines.decode.text import SAMPLED_LINES, Text

__all__ = ["SAMPLED_LINES", "Bad", "Decoded", "Decoder", "Text", "concat", "decode", "decode_batch", "describe",
           "is_compiled", "row_of"]
