from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from poke_bc.metrics import Scores, rank_and_score, switch_labels


def scores_of(logits: torch.Tensor, actions: torch.Tensor) -> Scores:
    return Scores(*(tensor.numpy() for tensor in rank_and_score(logits, actions)))


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    """500 masked decisions, some with ties."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(500, 10, generator=generator).mul(2).round() / 2
    actions = torch.randint(10, (500,), generator=generator)
    closed = torch.rand(500, 10, generator=generator) < 0.4
    closed[torch.arange(500), actions] = False
    return logits.masked_fill(closed, -torch.inf), actions


def test_figures_equal_a_plain_reference(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, actions = case
    nll, top1, top3 = 0.0, 0, 0
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, action in zip(logits.double().tolist(), actions.tolist(), strict=True):
        weights = [math.exp(value) for value in row]
        probs = [weight / sum(weights) for weight in weights]
        order = sorted(range(10), key=lambda place: (-row[place], place))
        nll -= math.log(probs[action])
        top1 += order[0] == action
        top3 += action in order[:3]
        confidence = probs[order[0]]
        bins[next(place for place in range(15) if confidence <= (place + 1) / 15 + 1e-12)].append(
            (confidence, order[0] == action))
    ece = sum(abs(sum(hit for _, hit in one) - sum(sure for sure, _ in one)) for one in bins) / 500
    figures = scores_of(logits, actions).figures()
    assert figures == {"decisions": 500, "nll": pytest.approx(nll / 500, rel=1e-5), "top1": top1 / 500,
                       "top3": top3 / 500, "ece": pytest.approx(ece, abs=1e-5)}


def test_a_sure_and_right_policy_is_calibrated_and_a_sure_and_wrong_one_is_not() -> None:
    logits = torch.full((4, 10), -torch.inf)
    logits[:, 2] = 0.0
    assert scores_of(logits, torch.tensor([2, 2, 2, 2])).figures()["ece"] == 0
    logits[:, 3] = -50.0
    assert scores_of(logits, torch.tensor([3, 3, 3, 3])).figures()["ece"] == pytest.approx(1)


def test_figures_of_subsets_weigh_each_decision_alike(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores = scores_of(*case)
    first = np.arange(500) < 7
    halves = [scores.at(first).summary(), scores.at(~first).summary()]
    for name in ("nll", "top1", "top3"):
        both = sum(half[name] * half["decisions"] for half in halves) / 500
        assert both == pytest.approx(scores.summary()[name], rel=1e-6)


def test_of_equally_likely_actions_the_lower_number_goes_first() -> None:
    _, rank, *_ = rank_and_score(torch.zeros(10, 10), torch.arange(10))
    assert rank.tolist() == list(range(10))


@pytest.mark.parametrize(("action", "candidates", "legal", "label"), [
    (0, 0, 0b11_0001, 0), (4, 0, 0b11_0001, 1), (4, 0, 0, 1), (4, 0, 0b11_0000, None), (0, 0, 0b1111, None),
    (-1, 0b1111, 0b11_1111, 0), (-1, 0b11_0000, 0b11_1111, 1), (-1, 0b1_0001, 0b11_1111, None), (-1, 0, 0, None),
])
def test_a_choice_counts_as_a_switch_where_that_is_known(action: int, candidates: int, legal: int,
                                                         label: int | None) -> None:
    found = switch_labels(np.array([action], np.int8), np.array([candidates], np.uint16), np.array([legal], np.uint16))
    assert found[0] == label if label is not None else np.isnan(found[0])
