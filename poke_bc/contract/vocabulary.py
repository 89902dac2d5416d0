"""Vocabularies: what the ids of category fields stand for.

- *closed*: a list of names. JSON holds names; preprocess writes ids. Id 0 is "unknown", id 1 is "none", and the
  listed names follow in order.
- *open*: opaque numbers chosen by the writer of the file (the basic schema). JSON holds integers, which are kept as
  they are; the size of the vocabulary is found in the data and recorded in the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from poke_bc.contract.errors import SchemaError

UNKNOWN = 0
NONE = 1
FIRST_NAME = 2
"""Id of the first listed name of a closed vocabulary."""
MAX_ID = 65535
"""Ids are stored as uint16."""


@dataclass(frozen=True)
class Vocabulary:
    """One namespace, shared by all fields that refer to it.

    Args:
        name: how fields refer to it, such as "species".
        names: the names from id 2 on, or None for an open vocabulary.
        size: all ids are below this; 0 for an open vocabulary whose data has not been read.
    """

    name: str
    names: tuple[str, ...] | None = None
    size: int = 0

    @classmethod
    def closed(cls, name: str, names: tuple[str, ...]) -> Vocabulary:
        """A vocabulary of listed names."""
        return cls(name, names, FIRST_NAME + len(names))

    @property
    def is_open(self) -> bool:
        """Whether JSON holds opaque numbers instead of names."""
        return self.names is None

    @cached_property
    def ids(self) -> dict[str, int]:
        """Name -> id of a closed vocabulary."""
        return {name: id_ for id_, name in enumerate(("", "none", *(self.names or ())), start=0) if name}

    def with_size(self, size: int) -> Vocabulary:
        """The vocabulary with the size found in the data; closed ones keep their own.

        Raises SchemaError for a size that ids of 16 bits cannot have.
        """
        if not 0 <= size <= MAX_ID + 1:
            raise SchemaError(f"vocabulary {self.name!r} has size {size}: expected 0 to {MAX_ID + 1}",
                              hint="the file that says so is damaged, or not of this poke-bc")
        return Vocabulary(self.name, None, size) if self.is_open else self
