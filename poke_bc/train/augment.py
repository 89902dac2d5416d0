"""What is varied about the rows of a batch in training, anew each time a row comes.

Random numbers are drawn from torch's generator on the device, in the step itself: a captured step draws new ones with
each replay, and a resumed run those that it would have drawn.

    B decisions   S steps of a sequence   K number columns
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from poke_bc.contract.errors import UsageError
from poke_bc.contract.schema import Schema
from poke_bc.data.batch import Batch
from poke_bc.train.config import TrainConfig

RATINGS = ("own_rating", "opp_rating")
"""Fields of the players' ratings; 0: not known."""
Augment = Callable[[Batch], Batch]


def augmentation(config: TrainConfig, schema: Schema, device: torch.device) -> Augment | None:
    """What the configuration asks for; None: nothing. Raises UsageError for a schema that does not allow it."""
    return RatingDropout(schema, config.rating_dropout, device) if config.rating_dropout else None


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
