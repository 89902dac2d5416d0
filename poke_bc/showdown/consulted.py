"""What a conversion asked the corpus, and the answers. A corpus that still gives them leads to the same trajectories.

So a battle need not be converted again because others were added: only where one of them changes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from poke_bc.contract.files import digest
from poke_bc.showdown.corpus import Corpus, OtherBattles, RevealedSets, ShownSet

MATCHING, DRAW, POKEMON = "matching", "draw", "pokemon"


class Question(msgspec.Struct, frozen=True, array_like=True):
    """A method of OtherBattles with its arguments, and what it returned."""

    method: str
    arguments: tuple[Any, ...]
    answer: Any


class Consulted(msgspec.Struct, frozen=True, array_like=True):
    """All that was asked about the others of one battle."""

    own: RevealedSets
    questions: tuple[Question, ...]


class NotedBattles(OtherBattles):
    """OtherBattles that note every question."""

    def __init__(self, corpus: Corpus, own: RevealedSets) -> None:
        super().__init__(corpus, own)
        self._own, self._questions = own, list[Question]()

    @property
    def consulted(self) -> Consulted:
        """What was asked so far."""
        return Consulted(self._own, tuple(self._questions))

    def matching(self, species: str, moves: Iterable[str]) -> list[ShownSet]:
        """As OtherBattles."""
        wanted = sorted(moves)
        found = super().matching(species, wanted)
        self._note(MATCHING, (species, wanted), _digest(found))
        return found

    def draw(self, what: str, at: float, species: str = "", without: Iterable[str] = ()) -> str | None:
        """As OtherBattles."""
        excluded = sorted(without)
        found = super().draw(what, at, species, excluded)
        self._note(DRAW, (what, at, species, excluded), found)
        return found

    def draw_pokemon(self, is_wanted: Callable[[str], bool], seed: str) -> tuple[str, int] | None:
        """As OtherBattles."""
        refused: list[str] = []

        def noted(species: str) -> bool:
            if wanted := is_wanted(species):
                return wanted
            refused.append(species)
            return False

        found = super().draw_pokemon(noted, seed)
        self._note(POKEMON, (seed, refused), found)
        return found

    def _note(self, method: str, arguments: tuple[Any, ...], answer: Any) -> None:
        self._questions.append(Question(method, arguments, answer))


class Consultation:
    """A corpus, as `convert` takes it, that remembers what it was asked."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._noted: list[NotedBattles] = []

    def others(self, own: RevealedSets) -> NotedBattles:
        """As Corpus."""
        self._noted.append(NotedBattles(self._corpus, own))
        return self._noted[-1]

    def answers(self) -> bytes:
        """Everything asked and answered, as JSON."""
        return msgspec.json.encode([each.consulted for each in self._noted if each.consulted.questions])


def agrees(corpus: Corpus, answers: bytes) -> bool:
    """Whether a corpus gives the answers that `Consultation.answers` recorded."""
    for consulted in msgspec.json.decode(answers, type=list[Consulted]):
        others = OtherBattles(corpus, consulted.own)
        if any(_ask(others, each) != each.answer for each in consulted.questions):
            return False
    return True


def _ask(others: OtherBattles, question: Question) -> Any:
    """The answer as JSON holds it."""
    if question.method == MATCHING:
        return _digest(others.matching(*question.arguments))
    if question.method == DRAW:
        return others.draw(*question.arguments)
    seed, refused = question.arguments
    found = others.draw_pokemon(lambda species: species not in refused, seed)
    return found and [*found]


def _digest(sets: list[ShownSet]) -> str:
    return digest(msgspec.json.encode(sets))
