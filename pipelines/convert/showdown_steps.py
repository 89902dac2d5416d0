"""The steps of poke_bc.showdown, as convert takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.convert.passes import Conversion
from poke_bc.showdown import convert as showdown
from poke_bc.showdown.corpus import Corpus, RevealedSets
from poke_bc.showdown.record import BattleRecord


@dataclass(frozen=True)
class FirstPass:
    """What the first pass found."""

    revealed: RevealedSets


def first_pass(record: BattleRecord) -> FirstPass:
    """What a battle reveals."""
    return FirstPass(showdown.reveal(record))


def convert(record: BattleRecord, corpus: Corpus, _first: FirstPass) -> list[dict[str, Any]]:
    """The trajectories of a battle."""
    return showdown.convert(record, corpus)


SHOWDOWN = Conversion(first_pass, convert, Corpus)
