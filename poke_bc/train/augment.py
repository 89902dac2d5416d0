"""What is varied about the rows of a batch in training, anew each time a row comes.

Random numbers are drawn from torch's generator on the device, in the step itself: a captured step draws new ones with
each replay, and a resumed run those that it would have drawn.

    B decisions   S steps of a sequence   N = B x S   C category columns   K number columns   F flags of bit fields
    A the ten actions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.entity import Entity
from poke_bc.contract.errors import UsageError
from poke_bc.contract.field import BITS
from poke_bc.contract.schema import Schema
from poke_bc.data.batch import Batch
from poke_bc.policy.inputs import by_slot, flag_places, flags_at
from poke_bc.policy.masks import action_set
from poke_bc.train.config import TrainConfig

RATINGS = ("own_rating", "opp_rating")
"""Fields of the players' ratings; 0: not known."""
Augment = Callable[[Batch], Batch]


def augmentation(config: TrainConfig, schema: Schema, device: torch.device) -> Augment | None:
    """What the configuration asks for; None: nothing. Raises UsageError for a schema that does not allow it."""
    wanted: list[Augment] = []
    if config.rating_dropout:
        wanted.append(RatingDropout(schema, config.rating_dropout, device))
    if config.permute_slots:
        wanted.append(SlotPermutation(schema, device))
    return _in_turn(wanted) if wanted else None


def _in_turn(wanted: Sequence[Augment]) -> Augment:
    def vary(batch: Batch) -> Batch:
        for each in wanted:
            batch = each(batch)
        return batch
    return vary


class RatingDropout:
    """Makes both ratings unknown in a fraction of the rows; a sequence is one battle, and loses them in all its steps.

    Unknown is 0, as where a log tells no rating, so that the policy can be asked to play like anybody as well as like
    somebody of 1900. A network sees a number of its own then: about the mean of the rows as they are (ScaledNumbers),
    ratings from 1000 to 2400 lie within 0.6 units of 1,500 points, and 0 lies 1.2 below. The mean is that without
    dropout: what is known keeps its place about zero, whatever the fraction.
    """

    def __init__(self, schema: Schema, fraction: float, device: torch.device) -> None:
        columns = {field.name: schema.columns[field.name] for field in schema.numbers if field.name in RATINGS}
        if not columns:
            raise UsageError(f"rating_dropout is set, but schema {schema.name} has no field {' or '.join(RATINGS)}",
                             hint="set rating_dropout = 0")
        self._fraction = fraction
        self._is_rating_K = torch.zeros(schema.number_width, dtype=torch.bool, device=device)
        for place in columns.values():
            self._is_rating_K[place] = True

    def __call__(self, batch: Batch) -> Batch:
        """A batch with ratings set to 0."""
        number: Tensor = batch.number
        drawn = torch.rand(len(number), *[1] * (number.ndim - 1), device=number.device)
        number = number.masked_fill((drawn < self._fraction) & self._is_rating_K, 0)
        return Batch({**batch.tensors(), "number": number}, position=batch.position, steps=batch.steps)


class SlotPermutation:
    """Puts the slots of every entity, and of every entity's members, into random order; labels and masks follow.

    Each row is permuted on its own, the steps of a sequence alike. Nothing else about it changes, so a network that
    reads slots as a set learns the same with and without; another sees each of them in all places.
    """

    def __init__(self, schema: Schema, device: torch.device) -> None:
        if not schema.entities:
            raise UsageError(f"permute_slots is set, but schema {schema.name} has no [[entity]] with slots",
                             hint="set permute_slots = false")
        bits = [field for entity in schema.entities for name in entity.fields for field in schema.numbers
                if field.name == name and field.kind == BITS]
        self._word_F, self._bit_F = (each.to(device) for each in flag_places(schema, bits))
        numbers = {field.name: range(schema.number_width)[schema.columns[field.name]] for field in schema.numbers}
        end = schema.number_width
        for field in bits:  # flags are moved behind the numbers, and packed again
            numbers[field.name] = range(end, end + field.width)
            end += field.width
        categories = {field.name: range(schema.category_width)[schema.columns[field.name]]
                      for field in schema.categories}
        self._holds_flags_K = torch.zeros(schema.number_width, dtype=torch.bool, device=device)
        self._holds_flags_K[self._word_F] = True
        self._kinds = [_Kind(entity, [each for each in schema.entities if each.of == entity.name], categories, numbers,
                             device) for entity in schema.entities if not entity.of]

    def __call__(self, batch: Batch) -> Batch:
        """A batch with slots in another order."""
        steps = 1 if batch.steps is None else batch.category.shape[1]
        columns = {name: tensor if batch.steps is None else tensor.flatten(0, 1)
                   for name, tensor in batch.tensors().items()}
        category, number = columns["category"], columns["number"]
        rows, device = len(category), category.device
        flags_NF = flags_at(number, self._word_F, self._bit_F)
        values = torch.cat([number, flags_NF.to(number.dtype)], dim=1)
        from_NC, from_NK, from_NA = (torch.arange(width, device=device).repeat(rows, 1)
                                     for width in (category.shape[1], values.shape[1], NUM_ACTIONS))
        for kind in self._kinds:
            kind.draw(number, rows // steps, steps, from_NC, from_NK, from_NA)
        values = values.gather(1, from_NK)
        width = number.shape[1]
        words = torch.zeros(rows, width, dtype=torch.int32, device=device).index_add_(
            1, self._word_F, values[:, width:].to(torch.int32) << self._bit_F)
        to_NA = from_NA.argsort(dim=1)
        action = columns["action"]
        moved = to_NA.gather(1, action.clamp_min(0).to(torch.int64)[:, None])[:, 0].to(action.dtype)
        columns |= {
            # gather knows no 16-bit unsigned integers
            "category": category.view(torch.int16).gather(1, from_NC).view(category.dtype),
            "number": torch.where(self._holds_flags_K, words.to(number.dtype), values[:, :width]),
            "action": torch.where(action < 0, action, moved),
            **{name: _permuted(columns[name], from_NA) for name in ("legal", "candidates")}}
        return Batch({name: tensor.view(batch.tensors()[name].shape) for name, tensor in columns.items()},
                     position=batch.position, steps=batch.steps)


def _permuted(bits_N: Tensor, from_NA: Tensor) -> Tensor:
    """Sets of actions with action a taken from `from_NA[a]`."""
    powers_A = 1 << torch.arange(NUM_ACTIONS, device=bits_N.device)
    return (action_set(bits_N).gather(1, from_NA) * powers_A).sum(dim=1).to(bits_N.dtype)


class _Kind:
    """The slots of one entity and those of its members: where their values are, by slot."""

    def __init__(self, entity: Entity, members: Sequence[Entity], categories: dict[str, range],
                 numbers: dict[str, range], device: torch.device) -> None:
        def places(names: Sequence[str], count: int) -> tuple[Tensor, Tensor]:
            """Columns of category and of number, [count, D] each."""
            of_ids, of_numbers = (by_slot([where[name] for name in names if name in where], count).view(count, -1)
                                  .to(device) for where in (categories, numbers))
            return of_ids, of_numbers

        self.count, self.actions = entity.count, entity.actions
        self.places = places(entity.fields, entity.count)
        active = list(numbers[entity.active]) if entity.active else []
        self.active = torch.tensor(active, dtype=torch.int64, device=device)
        self.members = [(each.count, each.actions, places(each.fields, entity.count * each.count),
                         places(each.active_fields, each.count)) for each in members]

    def draw(self, number: Tensor, samples: int, steps: int, from_NC: Tensor, from_NK: Tensor, from_NA: Tensor) -> None:
        """Write into from_... where each column and action is taken from."""
        device, rows = number.device, samples * steps
        order_NP = _order(samples, steps, self.count, device=device)
        self._move(self.places, order_NP, from_NC, from_NK)
        if self.actions is not None:
            from_NA[:, self.actions[0]:self.actions[1] + 1] = order_NP + self.actions[0]
        if not self.members:
            return
        # where the active one is now
        active_N = (number.index_select(1, self.active).gather(1, order_NP).argmax(dim=1) if len(self.active)
                    else torch.zeros(rows, dtype=torch.int64, device=device))
        for count, actions, places, active_places in self.members:
            order_NPM = _order(samples, steps, self.count, count, device=device)
            of_active_NM = order_NPM[torch.arange(rows, device=device), active_N]
            self._move(places, (order_NP[:, :, None] * count + order_NPM).flatten(1), from_NC, from_NK)
            self._move(active_places, of_active_NM, from_NC, from_NK)
            if actions is not None:
                from_NA[:, actions[0]:actions[1] + 1] = of_active_NM + actions[0]

    @staticmethod
    def _move(places: tuple[Tensor, Tensor], order: Tensor, from_NC: Tensor, from_NK: Tensor) -> None:
        for place, taken in zip(places, (from_NC, from_NK), strict=True):
            taken[:, place.flatten()] = place[order].flatten(1)


def _order(samples: int, steps: int, *shape: int, device: torch.device) -> Tensor:
    """Random orders of the last dimension, drawn for each sample, the same in all its steps: [N, *shape]."""
    return torch.rand(samples, *shape, device=device).argsort(dim=-1).repeat_interleave(steps, dim=0)
