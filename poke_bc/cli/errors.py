"""How commands fail: two lines on stderr, with --json an object on stdout too, and an exit code for each kind."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from poke_bc.cli.output import print_json
from poke_bc.cli.terminal import discard
from poke_bc.contract.errors import InputError, PokeBCError, TrainingError, UsageError

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
EXIT_CODES = {
    0: "done",
    1: "a bug in poke-bc, with a traceback: please report it",
    UsageError.exit_code: "wrong use: an option, a setting or a path that cannot be meant",
    InputError.exit_code: "bad data: damaged, malformed, not fitting together, or impossible to read or write",
    TrainingError.exit_code: "the training failed: going on would ruin the weights",
    INTERRUPTED: "interrupted by Ctrl-C; what was finished is kept",
    TERMINATED: "ended by SIGTERM, as schedulers do; what was finished is kept, as after Ctrl-C",
}
"""Exit code -> what it means, for the documentation."""
_MISUSE: Any = typer.BadParameter.__bases__  # click's UsageError, wherever this version of Typer keeps click


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM; Typer would end with 130 and not a word."""


class ErrorReportingGroup(TyperGroup):
    """The group of all commands; only bugs end in a traceback."""

    _interrupted = INTERRUPTED
    """Exit code of an interrupt; SIGTERM changes it."""

    def main(self, args: Any = None, *rest: Any, **options: Any) -> NoReturn:
        """Run the command line, turn errors into messages, and exit."""
        given = list(sys.argv[1:] if args is None else args)
        signal.signal(signal.SIGTERM, self._like_ctrl_c)
        try:
            code = super().main(given or ["--help"], *rest, **{**options, "standalone_mode": False})
            sys.stdout.flush()  # what cannot be written is noticed here, not when Python exits
        except PokeBCError as error:
            code = tell(error, given)
        except _MISUSE as error:
            command = error.ctx.command_path if error.ctx else "poke-bc"
            code = tell(UsageError(error.format_message(), hint=f"{command} --help"), given)
        except _Interrupted as error:
            print(error, file=sys.stderr)
            code = _answer(given, "Interrupted", str(error), "the same command continues", self._interrupted)
        except OSError as error:  # a full disk, missing permissions; writes are atomic, so nothing is half-written
            code = tell(InputError(f"{error.filename or 'standard output'}: {error.strerror or error}",
                                   hint="free some space or check permissions"), given)
        except Exception as error:
            traceback.print_exc()
            code = _answer(given, type(error).__name__, str(error), "a bug in poke-bc: please report it", 1)
        try:
            sys.stdout.flush()
        except OSError:
            discard(1)
        if code == INTERRUPTED:  # of `end_interrupted`
            code = self._interrupted
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if getattr(interrupt, "number", signal.SIGINT) == signal.SIGTERM:  # of a training, which handles it itself
                self._interrupted = TERMINATED
            raise _Interrupted(str(interrupt) or "interrupted") from None
        except RuntimeError as error:
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            raise _Interrupted("interrupted") from None  # Python 3.11 wraps one that arrives while a class is created

    def _like_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM as SIGINT would be now; a shell starts jobs in the background with SIGINT ignored."""
        self._interrupted = TERMINATED
        handle = signal.getsignal(signal.SIGINT)
        if not callable(handle):
            raise KeyboardInterrupt
        handle(number, frame)


def tell(error: PokeBCError, arguments: list[str]) -> int:
    """Print an error in two lines, and as JSON if `arguments` ask for it; returns the exit code."""
    what, hint = (" ".join(text.split()) for text in (error.what, error.hint))
    print(f"error: {what}\nhint: {hint}", file=sys.stderr)
    return _answer(arguments, type(error).__name__, what, hint, error.exit_code, error.so_far)


def end_interrupted(why: str) -> NoReturn:
    """End a command that was interrupted, but has printed the result so far."""
    print(why, file=sys.stderr)
    raise typer.Exit(INTERRUPTED)


def _answer(arguments: list[str], kind: str, what: str, hint: str, code: int,
            so_far: Mapping[str, Any] | None = None) -> int:
    """With --json, print an error as an object where the result would have been, beside what there is of the result;
    returns the exit code."""
    if "--json" in arguments:
        print_json({**(so_far or {}), "error": {"kind": kind, "what": what, "hint": hint, "exit_code": code}})
    return code
