"""Every error that a user can cause.

    PokeBCError                what happened and where; hint: what to do next
    ├── UsageError             invalid options or paths
    ├── SchemaError            a schema file is invalid or does not fit the data
    ├── InputError             the raw input cannot be read, or too much of it is bad
    ├── ShardError             shards, manifest or split are missing, damaged or of another format
    ├── RunError               a run folder or policy is missing, damaged or does not fit
    └── TrainingError          training cannot continue (loss not finite)

The command line prints two lines (error, hint) and exits with 2; a traceback always means a bug in poke-bc.
"""

from __future__ import annotations

from functools import partial
from typing import Any


class PokeBCError(Exception):
    """Base class of all errors that are reported without a traceback.

    Args:
        what: what happened and where, in one line.
        hint: what to do next, in one line; a command where possible.
    """

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes pickle their errors
        return partial(type(self), hint=self.hint), (self.what,)


class UsageError(PokeBCError):
    """Invalid options or paths."""


class SchemaError(PokeBCError):
    """A schema is malformed or does not describe the data."""


class InputError(PokeBCError):
    """Raw input cannot be read, is empty, or has too many bad lines."""


class ShardError(PokeBCError):
    """Shards, manifest or split are missing, damaged, or of another format version."""


class RunError(PokeBCError):
    """A run or policy is missing, damaged, or made for other shards."""


class TrainingError(PokeBCError):
    """Training stopped because continuing would ruin the weights."""
