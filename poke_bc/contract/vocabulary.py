"""Vocabularies: what the ids of category fields stand for.

Two sorts:

- *closed*: a list of names. JSON holds names; preprocess writes ids. Id 0 is "unknown", id 1 is "none",
  then the listed names in their order.
- *open*: opaque numbers of whoever wrote the file (the basic schema). JSON holds integers, which are
  kept as they are; how many there are is found in the data and stands in the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

UNKNOWN = 0
NONE = 1
MAX_ID = 65535
"""Ids are stored as uint16."""


@dataclass(frozen=True)
class Vocabulary:
    """One name space, shared by all fields that refer to it.

    Args:
        name: as fields refer to it, such as "species".
        names: the names from id 2 on, or None for an open vocabulary.
        size: ids are below this number; 0 for an open vocabulary before data was seen.
    """

    name: str
    names: tuple[str, ...] | None = None
    size: int = 0

    @classmethod
    def closed(cls, name: str, names: tuple[str, ...]) -> Vocabulary:
        """A vocabulary of listed names."""
        return cls(name, names, len(names) + 2)

    @property
    def is_open(self) -> bool:
        """Whether JSON holds opaque numbers instead of names."""
        return self.names is None

    @cached_property
    def ids(self) -> dict[str, int]:
        """Name -> id of a closed vocabulary."""
        return {name: id_ for id_, name in enumerate(("", "none", *(self.names or ())), start=0) if name}

    def with_size(self, size: int) -> Vocabulary:
        """The same vocabulary once the data has been seen; closed ones keep their size."""
        return Vocabulary(self.name, None, size) if self.is_open else self
