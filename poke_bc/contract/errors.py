"""Every error that a user can cause.

    PokeBCError          exit  what happened and where; hint: what to do next
    ├── UsageError        2    an option, a setting or a path cannot be meant: nothing there, or something else
    ├── SchemaError       3    a schema file is invalid or does not fit the data
    ├── InputError        3    the raw input cannot be read, or too much of it is bad
    ├── ShardError        3    shards, manifest or split are damaged, of another format or do not fit
    ├── RunError          3    a run or policy is damaged or does not fit
    ├── PlayError         3    battles cannot be played: no simulator, or it does not answer
    ├── ClusterError      3    a cluster does not answer, or was lost
    └── TrainingError     4    training cannot continue (loss not finite)

The command line prints two lines (error, hint) and exits with that code; a traceback always means a bug in poke-bc.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar


class PokeBCError(Exception):
    """Base class of all errors that are reported without a traceback.

    Args:
        what: what happened and where, in one line.
        hint: what to do next, in one line; a command where possible.
        so_far: results until then, which --json prints beside the error.
    """

    exit_code: ClassVar[int] = 3
    """Of a command that ends with this error."""

    def __init__(self, what: str, *, hint: str, so_far: Mapping[str, Any] | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.so_far = so_far or {}

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes pickle their errors
        return partial(type(self), hint=self.hint, so_far=self.so_far), (self.what,)


class UsageError(PokeBCError):
    """Wrong use: an option, a setting or a path that cannot be meant."""

    exit_code = 2


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

    exit_code = 4


class PlayError(PokeBCError):
    """Battles cannot be played: the simulator is missing, has ended, or does not answer."""


class ClusterError(PokeBCError):
    """A cluster does not answer, or was lost."""
