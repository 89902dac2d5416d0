from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poke_bc.contract.actions import NO_LABEL
from poke_bc.data.batch import Batch
from poke_bc.policy import PolicyOutput
from poke_bc.train.loss import LossSum, all_losses, gimmick_loss, imitation_loss, value_loss

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


# Gimmicks


@st.composite
def gimmick_rows(draw: st.DrawFn) -> tuple[list[list[float]], int, int, float]:
    """Logits of four slots, action, what was activated, weight."""
    logit = st.one_of(st.just(-math.inf), st.floats(-30, 30, width=32))
    return (draw(st.lists(st.lists(logit, min_size=5, max_size=5), min_size=4, max_size=4)), draw(st.integers(-1, 9)),
            draw(st.integers(0, 4)), draw(st.sampled_from([0.0, 0.5, 2.0])))


@settings(max_examples=200, deadline=None)
@given(st.lists(gimmick_rows(), min_size=1, max_size=6))
def test_the_gimmick_loss_equals_a_plain_reference(batch: list[tuple[list[list[float]], int, int, float]]) -> None:
    logits, action, taken, weight = (list(column) for column in zip(*batch, strict=True))
    raw = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    loss = gimmick_loss(raw, torch.tensor(action, dtype=torch.int8), torch.tensor(taken, dtype=torch.uint8),
                        torch.tensor(weight))
    total = weights = 0.0
    for slots, slot, label, weight_of_row in batch:
        finite = [value for value in slots[slot] if value > -math.inf] if 0 <= slot < 4 else []
        if len(finite) > 1 and slots[slot][label] > -math.inf:
            largest = max(finite)
            whole = largest + math.log(math.fsum(math.exp(value - largest) for value in finite))
            total += weight_of_row * (whole - slots[slot][label])
            weights += weight_of_row
    assert loss.weight.item() == pytest.approx(weights)
    assert loss.total.item() == pytest.approx(total, rel=1e-4, abs=1e-4)
    loss.total.backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    for row, (slots, slot, *_) in enumerate(batch):
        for place in range(4):
            if place != slot:
                assert not raw.grad[row, place].any()
            else:
                assert not raw.grad[row, place][torch.tensor(slots[slot]) == -math.inf].any()


# Sequences


def _sequences() -> Batch:
    """Two windows of three steps: padding, a forced choice, a censored one; and what counts."""
    action = torch.tensor([[0, 1, 2], [NO_LABEL, 4, 0]], dtype=torch.int8)
    return Batch({
        "legal": torch.tensor([[0, 0b10, 0b110], [0b11, 0b10001, 0b1]], dtype=torch.int16), "action": action,
        "candidates": torch.tensor([[0, 0, 0], [0b1, 0, 0]], dtype=torch.int16),
        "weight": torch.tensor([[0.0, 1.0, 2.0], [3.0, 5.0, 7.0]]), "returns": torch.zeros(2, 3),
        "is_pad": torch.tensor([[True, False, False], [False, False, False]])}, steps=range(-2, 1))


@pytest.mark.parametrize(("censored", "weight"), [(True, 2 + 3 + 5), (False, 2 + 5)])
def test_of_sequences_every_step_counts_that_would_be_selected_alone(censored: bool, weight: float) -> None:
    batch = _sequences()
    batch.weight[0, 0] = 11  # a pad weighs nothing, whatever it holds
    output = PolicyOutput(torch.randn(2, 3, 10), torch.ones(2, 3))
    policy, value, gimmick = all_losses(output, batch, censored=censored)
    assert (float(policy.weight), float(value.weight), float(value.total)) == (weight, weight, weight)
    assert gimmick is None
    rows = [(0, 2), (1, 1), *[(1, 0)] * censored]
    alone = [imitation_loss(*(each[row][step][None] for each in (
        output.logits, batch.legal, batch.action, batch.candidates, batch.weight))) for row, step in rows]
    torch.testing.assert_close(policy.total, torch.stack([each.total for each in alone]).sum())


def test_a_network_that_answers_for_step_0_alone_learns_from_it_alone() -> None:
    batch, output = _sequences(), PolicyOutput(torch.randn(2, 10))
    expected = imitation_loss(output.logits, *(each[:, 2] for each in (
        batch.legal, batch.action, batch.candidates, batch.weight)))
    assert torch.equal(all_losses(output, batch).policy.total, expected.total)
