from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poke_bc.train.loss import LossSum, imitation_loss, value_loss

Row = tuple[list[float], int, int, int, float]


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Logits, legal bits, action, candidate bits, weight: consistent or not, as the columns allow."""
    logits = draw(st.lists(st.floats(-30, 30, width=32), min_size=10, max_size=10))
    legal = draw(st.one_of(st.just(0), st.integers(1, 1023)))
    return (logits, legal, draw(st.integers(-1, 9)), draw(st.integers(0, 1023)),
            draw(st.floats(0, 4, width=32).map(lambda weight: weight if weight > 1e-3 else 0.0)))


def loss_of(batch: list[Row], smoothing: float) -> tuple[torch.Tensor, LossSum]:
    """The raw logits (a leaf that collects gradients) and the loss."""
    logits, legal, action, candidates, weight = (list(column) for column in zip(*batch, strict=True))
    raw = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    bits = torch.tensor(legal)
    is_legal = ((bits[:, None] >> torch.arange(10)) & 1 == 1) | (bits == 0)[:, None]
    return raw, imitation_loss(
        raw.masked_fill(~is_legal, -torch.inf), bits.to(torch.int16), torch.tensor(action, dtype=torch.int8),
        torch.tensor(candidates, dtype=torch.int16), torch.tensor(weight, dtype=torch.float32),
        label_smoothing=smoothing)


def reference(batch: list[Row], smoothing: float) -> tuple[float, float]:
    """The same in plain Python: summed loss and summed weight."""
    total = weights = 0.0
    for logits, legal, action, candidates, weight in batch:
        legal_places = [place for place in range(10) if legal >> place & 1 or not legal]
        largest = max(logits[place] for place in legal_places)
        whole = largest + math.log(math.fsum(math.exp(logits[place] - largest) for place in legal_places))
        cost = {place: whole - logits[place] for place in legal_places}
        if action in cost:
            loss = (1 - smoothing) * cost[action] + smoothing * math.fsum(cost.values()) / len(cost)
        elif action == -1 and any(candidates >> place & 1 for place in legal_places):
            kept = [-cost[place] for place in legal_places if candidates >> place & 1]
            loss = -(max(kept) + math.log(math.fsum(math.exp(value - max(kept)) for value in kept)))
        else:
            continue
        total += weight * loss
        weights += weight
    return total, weights


@settings(max_examples=200, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=6), st.sampled_from([0.0, 0.1, 0.5]))
def test_the_loss_equals_a_plain_reference_and_never_leaks_through_the_mask(batch: list[Row], smoothing: float) -> None:
    raw, loss = loss_of(batch, smoothing)
    total, weights = reference(batch, smoothing)
    assert loss.weight.item() == pytest.approx(weights, rel=1e-5, abs=1e-6)
    assert loss.total.item() == pytest.approx(total, rel=1e-4, abs=1e-3)
    loss.mean().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    for row, (_, legal, *_) in enumerate(batch):
        illegal = [place for place in range(10) if legal and not legal >> place & 1]
        assert not raw.grad[row, illegal].any()


def test_smoothing_is_finite_where_pytorch_s_own_is_not() -> None:
    row: Row = ([0.0] * 10, 0b11, 1, 0, 1.0)
    raw, loss = loss_of([row], 0.1)
    assert loss.mean().item() == pytest.approx(math.log(2), rel=1e-6)
    masked = raw.detach().clone()
    masked[0, 2:] = -torch.inf
    assert not torch.nn.functional.cross_entropy(masked, torch.tensor([1]), label_smoothing=0.1).isfinite()


def test_a_censored_choice_costs_the_log_of_its_candidates_sum() -> None:
    _, loss = loss_of([([0.0] * 10, 0b1111, -1, 0b0110, 1.0)], 0.3)
    assert loss.mean().item() == pytest.approx(math.log(2), rel=1e-6)


def test_a_censored_choice_among_all_legal_actions_teaches_nothing() -> None:
    raw, loss = loss_of([([1.0, 2.0, *[0.0] * 8], 0b11, -1, 0b11, 1.0)], 0.1)
    loss.mean().backward()
    assert raw.grad is not None
    assert raw.grad.abs().max() < 1e-6


def test_a_batch_without_any_label_costs_nothing() -> None:
    raw, loss = loss_of([([1.0] * 10, 5, -1, 0, 1.0), ([1.0] * 10, 5, 1, 0, 1.0)], 0.1)
    assert loss.mean().item() == 0
    loss.mean().backward()
    assert raw.grad is not None
    assert not raw.grad.any()


def test_slices_of_a_batch_add_up_to_the_whole() -> None:
    batch: list[Row] = [([float(place * row % 7) for place in range(10)], 0, row, 0, 0.5 + row) for row in range(9)]
    _, whole = loss_of(batch, 0.1)
    slices = [loss_of(batch[:2], 0.1)[1], loss_of(batch[2:], 0.1)[1]]
    summed = LossSum(slices[0].total + slices[1].total, slices[0].weight + slices[1].weight)
    assert torch.allclose(whole.mean(), summed.mean())


def test_the_value_loss_is_a_weighted_squared_error() -> None:
    loss = value_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert loss.mean().item() == pytest.approx((1 + 12) / 4)
