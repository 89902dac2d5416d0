"""`python -m poke_bc` is `poke-bc`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point of the `poke-bc` command: an interrupt before it has begun is no traceback either."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from poke_bc.cli import main as begin

        begin()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
