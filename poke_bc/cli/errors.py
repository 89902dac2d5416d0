"""How commands fail: a user's mistake is reported in two lines with exit code 2; Ctrl-C exits with 130."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from typer.core import TyperGroup

from poke_bc.contract.errors import PokeBCError


class ErrorReportingGroup(TyperGroup):
    """The group of all commands; only bugs end in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its errors into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except PokeBCError as error:
            _fail(error.what, error.hint)
        except KeyboardInterrupt as interrupt:
            _interrupted(str(interrupt))
        except RuntimeError as error:
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            _interrupted()  # Python 3.11 wraps an interrupt that arrives while a class is being created
        except BrokenPipeError:  # `poke-bc ... | head`: click handles it
            raise
        except OSError as error:  # a full disk, missing permissions; writes are atomic, so nothing is half-written
            _fail(f"{error.filename or 'a file'}: {error.strerror or error}", "free some space or check permissions")


def _fail(what: str, hint: str) -> NoReturn:
    for word, text in (("error", what), ("hint", hint)):
        print(f"{word}: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)


def _interrupted(message: str = "") -> NoReturn:
    print(message or "interrupted", file=sys.stderr)
    sys.exit(130)
