"""A trained policy as a player: requests and lines of a battle -> choices.

    player = Player.load("runs/bc")
    player.choose(request, lines)      "/choose move 2", for a bot of your own
    player.answer(chairs)              for all battles of a match that wait, in one batch

    B decisions   A actions   S steps of a sequence
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS
from poke_bc.contract.errors import InputError, RunError, UsageError
from poke_bc.data.batch import Batch
from poke_bc.play.contestant import SeatChair, plainest
from poke_bc.play.pack import ObservationPacker
from poke_bc.policy import Policy, load_policy
from poke_bc.showdown.asked import Asked
from poke_bc.showdown.observation import FIELDS
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.seat import estimate

KEPT = 64
"""Battles that `choose` remembers between calls."""


class _Side(msgspec.Struct, frozen=True):
    id: str = ""


class _Request(msgspec.Struct, frozen=True):
    side: _Side = _Side()


_PLAYER = msgspec.json.Decoder(_Request)


class PlayerChair(SeatChair):
    """A policy's place in one battle, with the rows of its last decisions."""

    def __init__(self, player: str, format_: str, seed: str, steps: int = 1) -> None:
        super().__init__(format_, seed)
        self.player = player
        self.rows: deque[Batch] = deque(maxlen=steps)
        """This decision's columns and those of the decisions before, one row each."""
        self._last: tuple[int, str] | None = None

    def remember(self, row: Batch) -> None:
        """Add the row of the open request; in place of the last one if nothing has happened since: it was refused."""
        assert self.asked is not None
        moment = (self.asked.request.at, self.asked.request.phase)
        if self.rows and moment == self._last:
            self.rows.pop()
        self._last = moment
        self.rows.append(row)


class Player:
    """A policy that plays.

    Args:
        policy: of schema `singles`; its weights stay as they are now.
        name: what it is called in results.
        greedy: take the most likely action, instead of drawing.
        temperature: above 0; below 1 sharpens what actions are drawn from, above 1 flattens it.
        seed: of what `choose` draws; in a match each battle has its own.

    With a gimmick head, the policy also says with which gimmick a move is used, wherever that is legal. It is always
    drawn: at nearly every single turn people most likely wait, and yet in most battles they use theirs. Without such a
    head, it mega-evolves at once, and uses a Z-move, Dynamax or Terastallization with the first move that is estimated
    to take at least half of the opponent's HP.

    Raises RunError if the policy reads observations that live play does not make.
    """

    def __init__(self, policy: Policy, name: str = "policy", *, greedy: bool = False, temperature: float = 1.0,
                 seed: int = 0) -> None:
        if not greedy and not 0 < temperature < 1e9:
            raise UsageError(f"--temperature {temperature}: must be above 0", hint="--greedy takes the best action")
        if missing := policy.schema.field_names - {*FIELDS}:
            raise RunError(f"{name}: the policy reads the field {min(missing)}, which live play does not make",
                           hint="train on shards of schema singles, as poke-bc convert makes them")
        self.policy, self.name = policy.eval(), name
        self.greedy, self.temperature, self.seed = greedy, temperature, seed
        self._packer = ObservationPacker(policy.schema)
        self.policy.ids.freeze()
        self._kept: list[tuple[list[str], PlayerChair]] = []
        self._battles = 0

    @classmethod
    def load(cls, run: str | Path, *, checkpoint: str = "best", device: str | torch.device = "cpu",
             greedy: bool = False, temperature: float = 1.0, seed: int = 0) -> Self:
        """The policy of a run, checkpoint or policy folder. Raises what `load_policy` raises."""
        return cls(load_policy(run, device=device, checkpoint=checkpoint), str(run), greedy=greedy,
                   temperature=temperature, seed=seed)

    # --- in a bot of your own ---------------------------------------------------------------------------------------

    def choose(self, request: Mapping[str, Any] | str, lines: Sequence[str], *, format: str = "") -> str:
        """Answer one request.

        Args:
            request: what follows `|request|`, as JSON or as an object.
            lines: all lines of the battle that the player has received so far, without its chat if you like; those of
                several battles may take turns.
            format: id of the format, such as "gen9ou"; "": as the line `|tier|` says.

        Returns:
            "/choose move 2 terastallize", "/choose switch 3"; "" if the request wants no answer ("wait").

        Raises InputError if the battle cannot be followed: doubles, lines missing.
        """
        text = request if isinstance(request, str) else msgspec.json.encode(request).decode()
        try:
            chair = self._chair(_PLAYER.decode(text).side.id, lines, format)
            answer = f"/choose {self.answer([chair])[0]}" if chair.ask(text) else ""
        except (SkippedBattle, msgspec.DecodeError) as error:
            raise InputError(f"the battle cannot be followed: {error}",
                             hint="give all lines of a singles battle, and the request that came after them") from None
        self._kept.append(([*lines], chair))
        del self._kept[:-KEPT]
        return answer

    def _chair(self, player: str, lines: Sequence[str], format_: str) -> PlayerChair:
        """The player's that has seen the beginning of these lines, or a new one."""
        for place, (seen, chair) in enumerate(self._kept):
            if chair.player == player and seen and seen == [*lines[:len(seen)]]:
                del self._kept[place]
                chair.see(lines[len(seen):])
                return chair
        self._battles += 1
        chair = self.sit(player, format_, f"{self.seed} {self._battles}")
        chair.see(lines)
        return chair

    # --- in a match -------------------------------------------------------------------------------------------------

    def sit(self, player: str, format_: str, seed: str) -> PlayerChair:
        """A chair, see Contestant."""
        steps = self.policy.steps
        return PlayerChair(player, format_, seed, len(steps) if steps is not None else 1)

    def answer(self, chairs: Sequence[PlayerChair]) -> list[str]:
        """Choices for the chairs' open requests."""
        asked = [chair.asked for chair in chairs if chair.asked is not None]
        estimate(asked)
        logits_BA, gimmick_B45 = self._judge(chairs, asked)
        choices = []
        for row, (chair, each) in enumerate(zip(chairs, asked, strict=True)):
            action = int(logits_BA[row].argmax()) if self.greedy else _draw(
                logits_BA[row] / self.temperature, chair.dice)
            ways = each.ways(action)
            if action >= MOVE_SLOTS or not any(ways[1:]):
                gimmick = plainest(ways)
            elif gimmick_B45 is None:
                gimmick = default_gimmick(each, action, ways)
            else:
                logits = np.where(ways, gimmick_B45[row, action], -np.inf)
                gimmick = GIMMICKS[_draw(logits, chair.dice)] if np.isfinite(logits).any() else plainest(ways)
            choices.append(each.choice(action, gimmick))
        return choices

    def _judge(self, chairs: Sequence[PlayerChair],
               asked: Sequence[Asked]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Logits of actions [B, A], -inf where illegal, and of gimmicks [B, 4, 5]."""
        batch = self._packer.batch([each.observation for each in asked], [each.legal for each in asked])
        steps = self.policy.steps
        if steps is not None:
            for place, chair in enumerate(chairs):
                chair.remember(_rows(batch, place))
            batch = _sequences([chair.rows for chair in chairs], steps)
        with torch.inference_mode():
            logits, _, gimmick = self.policy(batch.to(self.policy.device)).of_decisions(batch)
        return (logits.cpu().numpy().astype(np.float64),
                None if gimmick is None or not self.policy.has_gimmicks else gimmick.cpu().numpy().astype(np.float64))


def _draw(logits: NDArray[np.float64], dice: Random) -> int:
    """An index, drawn with the probabilities of logits, some of which are -inf."""
    weights = np.exp(logits - logits.max())
    chance, total = dice.random() * weights.sum(), weights.cumsum()
    return min(int(np.searchsorted(total, chance, side="right")), int(np.flatnonzero(weights)[-1]))


def default_gimmick(asked: Asked, action: int, ways: Sequence[bool]) -> str:
    """What a policy without a gimmick head does, see Player."""
    for gimmick, is_open in zip(GIMMICKS[1:], ways[1:], strict=True):
        if is_open and (gimmick == "mega" or not ways[0] or asked.observation.own_move_damage[action] >= 0.5):
            return gimmick
    return plainest(ways)


def _rows(batch: Batch, place: int) -> Batch:
    return Batch({name: tensor[place] for name, tensor in batch.tensors().items()})


def _sequences(histories: Sequence[Sequence[Batch]], steps: range) -> Batch:
    """Rows of each chair, the latest last -> columns [B, S, ...], with zeros and `is_pad` where there were none."""
    columns: dict[str, torch.Tensor] = {}
    names = histories[0][0].tensors()
    for name, example in names.items():
        padding = torch.zeros_like(example)
        columns[name] = torch.stack([
            torch.stack([padding] * (len(steps) - len(rows)) + [getattr(row, name) for row in rows])
            for rows in histories])
    columns["is_pad"] = torch.tensor([[place < len(steps) - len(rows) for place in range(len(steps))]
                                      for rows in histories])
    return Batch(columns, steps=steps)
