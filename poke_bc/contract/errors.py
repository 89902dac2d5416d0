"""Every error that a user can cause, and how it is told.

    PokeBCError                what happened, where; hint: what to do next
    ├── UsageError             flags or files that cannot be meant
    ├── SchemaError            a schema file is wrong, or does not fit the data
    ├── InputError             the raw input cannot be read, or too much of it is bad
    ├── ShardError             shards, manifest or split are missing, damaged or of another format
    ├── RunError               a run folder or policy is missing, damaged or does not fit
    └── TrainingError          training cannot go on (loss not finite)

The command line prints two lines (error, hint) and exits with 2; a traceback is a bug of ours.
"""

from __future__ import annotations

from functools import partial
from typing import Any


class PokeBCError(Exception):
    """Base of all errors that are told in two lines instead of a traceback.

    Args:
        what: what happened and where, one line.
        hint: what to do next, one line (a command where there is one).
    """

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:  # pickled on its way back from a worker process
        return partial(type(self), hint=self.hint), (self.what,)


class UsageError(PokeBCError):
    """Flags or paths that cannot be meant."""


class SchemaError(PokeBCError):
    """A schema is malformed, or does not describe the data at hand."""


class InputError(PokeBCError):
    """Raw input that cannot be read, is empty, or holds too many bad lines."""


class ShardError(PokeBCError):
    """Shards, manifest or split are missing, damaged, or of another format version."""


class RunError(PokeBCError):
    """A run or policy is missing, damaged, or made for other shards."""


class TrainingError(PokeBCError):
    """Training stopped because going on would only spoil the weights."""
