"""`python -m poke_bc` is `poke-bc`."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of the `poke-bc` command: an interrupt before it has begun is no traceback either."""
    code = 128 + signal.SIGINT

    def terminated(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = 128 + number
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, terminated)
        from poke_bc.cli import main as begin

        begin()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(code)


if __name__ == "__main__":
    main()
