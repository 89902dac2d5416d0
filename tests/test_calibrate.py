"""The temperature at which the actions taken are likeliest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poke_bc.train.calibrate import best_temperature


def drawn(temperature: float, seed: int, rows: int = 20_000) -> tuple[Tensor, Tensor]:
    """Logits, some illegal, and actions that are taken as often as the logits over `temperature` say."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 10, generator=generator) * 2
    logits[:, 1:].masked_fill_(torch.rand(rows, 9, generator=generator) < 0.3, -torch.inf)
    return logits, (logits / temperature).softmax(dim=1).multinomial(1, generator=generator)[:, 0]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.4, 2.5), st.integers(0, 1000))
def test_the_temperature_that_the_actions_were_drawn_at_is_found(temperature: float, seed: int) -> None:
    found = best_temperature(*drawn(temperature, seed))
    assert found == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_has_a_lower_nll() -> None:
    logits, actions = drawn(1.3, seed=1, rows=500)
    found = best_temperature(logits, actions)

    def nll(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / temperature, actions))

    assert all(nll(found) <= nll(found * factor) for factor in (0.9, 0.99, 1.01, 1.1))


@pytest.mark.parametrize(("always", "expected"), [(True, 0.25), (False, 4.0)])
def test_it_stays_in_its_range(*, always: bool, expected: float) -> None:
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    actions = logits.argmax(dim=1) if always else logits.argmin(dim=1)
    assert best_temperature(logits, actions) == pytest.approx(expected, rel=1e-4)
