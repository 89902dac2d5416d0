"""`python -m tests.fuzz MINUTES [--seed N]`: searches on from the corpus, and adds what led to a place never seen.

Every text goes through the scanner and, line by line, through the exact reader, in three schemas; rows, trajectories,
counts and quarantine must be the same. The first text for which they are not is printed, and it ends with code 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from tests.fuzz import coverage  # noqa: E402

coverage.install()

import decoding  # noqa: E402
import numpy as np  # noqa: E402
from decoding import by_decode, by_hand  # noqa: E402
from fuzz_texts import CORPUS, SCHEMAS, Mutator, read_corpus, seeds, write_corpus  # noqa: E402

from pipelines.decode.scan.scanner import scan  # noqa: E402
from poke_bc.contract.schema import Schema  # noqa: E402

_BUCKETS = np.array([0, 1, 2, 3, *[4] * 4, *[8] * 8, *[16] * 16, *[32] * 96, *[128] * 128], np.uint16)


def differs(text: bytes) -> Schema | None:
    """The schema in which the two readers disagree."""
    for schema in SCHEMAS:
        if by_decode(text, schema, 17) != by_hand(text, schema, 17):
            return schema
    return None


def features() -> set[int]:
    """Places come by since the last call, with how often (rounded to a power of two)."""
    seen = np.flatnonzero(coverage.HITS)
    found = set((seen * 256 + _BUCKETS[coverage.HITS[seen]]).tolist())
    coverage.HITS[:] = 0
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    decoding.scanner = lambda: scan  # with counters, and so compiled here instead of loaded
    corpus, known, tried = [], set(), 0
    texts = Mutator(Random(arguments.seed), corpus)
    started = time.monotonic()
    said = 0.0
    first = [*seeds(), *read_corpus()]
    while (seconds := time.monotonic() - started) < 60 * arguments.minutes or first:
        text = first.pop() if first else texts.next()
        tried += 1
        if schema := differs(text):
            print(f"schema {schema.name}: the readers disagree about {text!r}")
            return 1
        found = features()
        if found - known:
            known |= found
            corpus.append(text)
        if seconds - said > 30:
            said = seconds
            print(f"{seconds:6.0f} s  {tried:9,} texts  {len({each // 256 for each in known}):4} of "
                  f"{coverage.places()} places  {len(known):5} features  corpus {len(corpus)}", flush=True)
    write_corpus(smallest_cover(corpus))
    print(f"{tried:,} texts, no difference; {CORPUS.name} has {len(list(read_corpus()))}")
    return 0


def smallest_cover(corpus: list[bytes]) -> list[bytes]:
    """Texts, short ones first, that together come by all that the corpus does."""
    kept, known = [], set()
    features()
    for text in sorted(corpus, key=lambda each: (len(each), each)):
        differs(text)
        if (found := features()) - known:
            known |= found
            kept.append(text)
    return kept


if __name__ == "__main__":
    sys.exit(main())
