"""Statistics of battles: against published values, other formulas for the same thing, and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poke_bc.play.ratings import Sprt, bradley_terry, expected_score, paired_interval, wilson

BATTLE = st.sampled_from([0.0, 0.5, 1.0])


@pytest.mark.parametrize(("wins", "battles", "low", "high"), [
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
])
def test_wilson_gives_the_published_intervals(wins: int, battles: int, low: float, high: float) -> None:
    assert wilson(wins, battles) == pytest.approx((low, high), abs=5e-5)


@given(wins=st.integers(0, 2000).map(lambda halves: halves / 2), more=st.integers(0, 1000))
def test_wilson_contains_the_share_and_mirrors(wins: float, more: int) -> None:
    battles = math.ceil(wins) + more
    low, high = wilson(wins, battles)
    assert 0 <= low <= (wins / battles if battles else 0.5) <= high <= 1
    assert wilson(battles - wins, battles) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("wins", "battles"), [(-0.5, 3), (3.5, 3)])
def test_wilson_refuses_impossible_shares(wins: float, battles: int) -> None:
    with pytest.raises(ValueError, match="battles"):
        wilson(wins, battles)


@given(pairs=st.lists(st.tuples(BATTLE, BATTLE), max_size=200))
def test_a_paired_interval_contains_the_mean_and_mirrors(pairs: list[tuple[float, float]]) -> None:
    mean, low, high = paired_interval(pairs)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    mirrored = paired_interval([(1 - first, 1 - second) for first, second in pairs])
    assert mirrored == pytest.approx((1 - mean, 1 - high, 1 - low), abs=1e-12)


@given(wins=st.integers(0, 300), losses=st.integers(0, 300))
def test_of_pairs_whose_battles_end_alike_it_is_the_interval_of_agresti_and_coull(wins: int, losses: int) -> None:
    _, low, high = paired_interval([(1, 1)] * wins + [(0, 0)] * losses)
    count = wins + losses + 1.96**2
    share = (wins + 1.96**2 / 2) / count
    half = 1.96 * math.sqrt(share * (1 - share) / count)
    assert (low, high) == pytest.approx((max(0, share - half), min(1, share + half)), abs=1e-9)


def test_luck_that_cancels_out_within_pairs_makes_the_interval_narrower() -> None:
    _, low, high = paired_interval([(1, 0), (0, 1)] * 190 + [(1, 1)] * 20)
    plain_low, plain_high = wilson(420, 800)
    assert high - low < 0.4 * (plain_high - plain_low)


def test_a_paired_interval_holds_the_true_share_in_about_95_of_100_experiments() -> None:
    random, share, held = np.random.default_rng(0), 0.7, 0
    for _ in range(1000):
        luck = random.random(100) < 0.4  # the seed decides both battles of such a pair, one for each side
        first = random.random(100) < share
        second = np.where(luck, ~first, random.random(100) < share)
        _, low, high = paired_interval(list(zip(first.astype(float), second.astype(float), strict=True)))
        held += low <= 0.4 * 0.5 + 0.6 * share <= high
    assert 0.93 < held / 1000 < 0.99


@given(wins=st.integers(1, 500), losses=st.integers(1, 500), elo0=st.integers(-200, 200), more=st.integers(1, 100))
def test_of_wins_and_losses_the_ratio_is_that_of_two_coins(wins: int, losses: int, elo0: int, more: int) -> None:
    share0, share1 = expected_score(elo0), expected_score(elo0 + more)
    exact = wins * math.log(share1 / share0) + losses * math.log((1 - share1) / (1 - share0))
    assert Sprt(elo0, elo0 + more).llr([1] * wins + [0] * losses) == pytest.approx(exact, rel=1e-6, abs=1e-6)


@given(counts=st.tuples(*[st.integers(50, 500)] * 5))
def test_for_small_differences_the_ratio_is_near_its_normal_approximation(counts: tuple[int, ...]) -> None:
    """(s1 - s0)(2 mean - s0 - s1) / (2 variance of the mean), as in Fishtest's first version."""
    score = np.repeat([0, 0.25, 0.5, 0.75, 1], counts)
    middle = 400 * math.log10(score.mean() / (1 - score.mean()))
    test = Sprt(middle - 1, middle + 4)
    share0, share1 = expected_score(test.elo0), expected_score(test.elo1)
    near = (share1 - share0) * (2 * score.mean() - share0 - share1) / (2 * score.var() / len(score))
    assert test.llr(score) == pytest.approx(near, rel=0.05, abs=0.01)


@pytest.mark.parametrize("score", [0, 0.5, 1])
def test_scores_that_are_all_alike_have_a_finite_ratio(score: float) -> None:
    assert math.isfinite(Sprt(0, 10).llr([score] * 1000))


def test_a_sequential_test_errs_as_rarely_as_it_was_asked_to() -> None:
    random, test, shares = np.random.default_rng(0), Sprt(0, 150), {}
    for elo in (0, 150):
        accepted = []
        for _ in range(150):
            battles = (random.random((1000, 2)) < expected_score(elo)).mean(axis=1)
            accepted.append(next(filter(None, (test.decide(battles[:count]) for count in range(4, 1000, 4)))))
        shares[elo] = accepted.count("elo1") / len(accepted)
    assert shares[0] < 0.05 + 0.045  # 2.5 standard errors of 150 tests
    assert shares[150] > 0.95 - 0.045


def test_a_sequential_test_ends_at_walds_bounds() -> None:
    assert Sprt(0, 5).bounds == pytest.approx((-2.944, 2.944), abs=1e-3)
    test = Sprt(0, 50)
    for wins in range(200):
        llr = test.llr([1] * wins)
        assert test.decide([1] * wins) == ("elo1" if llr >= test.bounds[1] else None)


@pytest.mark.parametrize("options", [{"elo0": 5, "elo1": 5}, {"elo0": 0, "elo1": 5, "alpha": 0.0}])
def test_a_test_that_cannot_decide_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"elo0|alpha"):
        Sprt(**options)


def test_of_two_players_the_rating_is_the_logit_of_the_share() -> None:
    found = bradley_terry({("a", "b"): [1] * 300 + [0.5] * 50 + [0] * 150}, "b")
    share = (325 + 0.5) / 501
    assert found["a"].elo == pytest.approx(400 * math.log10(share / (1 - share)), abs=1e-6)
    low, high = (400 * math.log10(bound / (1 - bound)) for bound in wilson(325, 500))
    assert (found["a"].low, found["a"].high) == pytest.approx((low, high), abs=8)
    assert found["b"] == (0, 0, 0)


@settings(max_examples=20)
@given(elos=st.lists(st.integers(-600, 600), min_size=2, max_size=6))
def test_players_that_score_as_their_ratings_say_are_rated_so(elos: list[int]) -> None:
    names = [f"player {number}" for number in range(len(elos))]
    scores = {(one, other): [expected_score(elos[a] - elos[b])] * 20_000
              for a, one in enumerate(names) for b, other in enumerate(names) if a < b}
    found = bradley_terry(scores, names[0], resamples=10)
    for name, elo in zip(names, elos, strict=True):
        assert found[name].elo == pytest.approx(elo - elos[0], abs=3)


def test_who_won_or_lost_everything_is_rated_far_away_but_not_at_infinity() -> None:
    scores = {("king", "mid"): [1.0] * 50, ("king", "weak"): [1.0] * 50, ("mid", "weak"): [1.0] * 50}
    found = bradley_terry(scores, "mid")
    assert list(found) == ["king", "mid", "weak"]
    assert 400 < found["king"].elo < 2000
    assert found["king"].elo == pytest.approx(-found["weak"].elo)
    assert found["king"].low < found["king"].elo - 100
    assert found["king"].high > found["king"].elo + 100
    assert all(math.isfinite(value) for rating in found.values() for value in rating)


def test_ratings_are_the_same_for_the_same_seed_and_in_any_direction() -> None:
    scores = {("a", "b"): [1.0, 0.0, 1.0, 0.5] * 20, ("b", "c"): [0.25, 0.75, 1.0] * 20}
    assert bradley_terry(scores, "c") == bradley_terry(scores, "c")
    turned = {(other, one): [1 - score for score in each] for (one, other), each in scores.items()}
    for name, rating in bradley_terry(turned, "c").items():
        assert rating.elo == pytest.approx(bradley_terry(scores, "c")[name].elo)


@pytest.mark.parametrize(("scores", "word"), [
    ({("a", "b"): [1.0], ("c", "d"): [1.0]}, "c, d"), ({("a", "b"): [1.0], ("b", "a"): [1.0]}, "one list"),
    ({("a", "a"): [1.0]}, "different"), ({("a", "b"): []}, "b"),
])
def test_players_that_cannot_be_compared_are_named(scores: dict[tuple[str, str], list[float]], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        bradley_terry(scores, "a")
