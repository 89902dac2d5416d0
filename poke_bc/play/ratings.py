"""What battles say about strength: shares of points with 95% intervals, sequential tests, Elo.

A score is a share of points in [0, 1]: 1 for a battle that was won, 0.5 for a tie, 0 for one that was lost; for a pair
of battles with the same seeds and sides swapped, the mean of the two. A strength of E Elo above another means an
expected score of 1 / (1 + 10^(-E / 400)).

    U units: battles, or pairs   V the distinct scores   M matches: two players that met   P players   R resamples
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Z = 1.96
"""Standard errors on each side of a 95% interval."""
RESAMPLES = 1000
_ELO = 400 / math.log(10)  # one unit of a logit
_NEARLY_NOTHING = 1e-3
_LEVELS = (2.5, 97.5)


def expected_score(elo: float) -> float:
    """Expected share of points of a player that is `elo` stronger.

    >>> expected_score(0), round(expected_score(200), 3)
    (0.5, 0.76)
    """
    return 1 / (1 + 10 ** (-elo / 400))


def wilson(wins: float, battles: int, z: float = Z) -> tuple[float, float]:
    """Wilson's interval of a share of wins, which also holds for few battles and shares near 0 or 1.

    Source: Wilson, "Probable inference", JASA 22 (1927), equation 4.

    Args:
        wins: from 0 to `battles`; a tie counts as half a win.
        battles: 0: nothing is known, (0, 1).
        z: standard errors on each side.

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    if not 0 <= wins <= battles:
        raise ValueError(f"{wins} wins of {battles} battles")
    if not battles:
        return 0.0, 1.0
    share = wins / battles
    middle = (share + z * z / (2 * battles)) / (1 + z * z / battles)
    half = z * math.sqrt(share * (1 - share) / battles + z * z / (4 * battles**2)) / (1 + z * z / battles)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding never excludes it


class Interval(NamedTuple):
    """A mean and the 95% interval around it."""

    mean: float
    low: float
    high: float


def paired_interval(pairs: Sequence[tuple[float, float]], z: float = Z) -> Interval:
    """Share of points in duels: two battles with the same teams and dice, sides swapped.

    Luck that both battles share cancels out within a pair, so the variance is that of the pairs' means, which is often
    smaller than that of single battles. As for a single share (Agresti and Coull, "Approximate is better than exact",
    The American Statistician 52, 1998), z^2/2 pairs that were won and as many that were lost are added for the interval
    alone: pairs that all ended alike do not prove that every pair will. It contains the mean.

    Args:
        pairs: scores of one player in the two battles of each pair; none: (0.5, 0, 1).
        z: standard errors on each side.

    >>> [round(value, 3) for value in paired_interval([(1, 0)] * 50 + [(1, 1)] * 30 + [(0, 0)] * 20)]
    [0.55, 0.48, 0.617]
    """
    if any(not 0 <= score <= 1 for pair in pairs for score in pair):
        raise ValueError("scores are from 0 to 1")
    means_U = np.array([(first + second) / 2 for first, second in pairs])
    added, count = z * z / 2, len(means_U) + z * z
    middle = (means_U.sum() + added) / count
    half = z * math.sqrt(max(0.0, (np.square(means_U).sum() + added) / count - middle**2) / count)
    return Interval(float(means_U.mean()) if len(means_U) else 0.5, max(0.0, float(middle - half)),
                    min(1.0, float(middle + half)))


@dataclass(frozen=True)
class Sprt:
    """Sequential test of whether a player is `elo1` rather than `elo0` stronger than another, as of chess engines.

    The generalised sequential probability ratio test: what the hypotheses leave open (how often which score occurs) is
    estimated under each of them. With scores of pairs it is what testers of chess engines call pentanomial: it needs
    fewer battles, since it knows how alike the two battles of a pair are.

    Sources: Li, Liu and Ying, "Generalized sequential probability ratio test for separate families of hypotheses",
    Sequential Analysis 33 (2014); "Fishtest mathematics" in the wiki of github.com/official-stockfish/fishtest.

    >>> test = Sprt(0, 50)
    >>> test.decide([1, 1, 0]), test.decide([1] * 40 + [0] * 10), test.decide([1] * 20 + [0] * 40)
    (None, 'elo1', 'elo0')
    """

    elo0: float
    elo1: float
    """Above `elo0`."""
    alpha: float = 0.05
    """Probability of "elo1" where the strength is `elo0`."""
    beta: float = 0.05
    """Probability of "elo0" where the strength is `elo1`."""

    def __post_init__(self) -> None:
        if not self.elo0 < self.elo1:
            raise ValueError(f"elo0 = {self.elo0} is not below elo1 = {self.elo1}")
        if not (0 < self.alpha < 0.5 and 0 < self.beta < 0.5):
            raise ValueError("alpha and beta are between 0 and 0.5")

    @property
    def bounds(self) -> tuple[float, float]:
        """Log-likelihood ratios at which the test ends: at or below the first with elo0, at or above the second with
        elo1."""
        return math.log(self.beta / (1 - self.alpha)), math.log((1 - self.beta) / self.alpha)

    def llr(self, scores: Iterable[float]) -> float:
        """Log-likelihood ratio of elo1 against elo0; `scores` of battles, or of pairs, but not of both."""
        counts = Counter(map(float, scores))
        if any(not 0 <= score <= 1 for score in counts):
            raise ValueError("scores are from 0 to 1")
        if not counts:
            return 0.0
        for end in (0.0, 1.0):  # else no distribution over the scores has a mean beyond them
            counts[end] += 0
        score_V = np.array(list(counts))
        count_V = np.array([count or _NEARLY_NOTHING for count in counts.values()], np.float64)
        share_V = count_V / count_V.sum()
        likely0_V, likely1_V = (_with_mean(share_V, score_V, expected_score(elo)) for elo in (self.elo0, self.elo1))
        return float(count_V @ np.log(likely1_V / likely0_V))

    def decide(self, scores: Iterable[float]) -> Literal["elo0", "elo1"] | None:
        """Which hypothesis is accepted; None: play on. To be asked after every unit."""
        llr, (low, high) = self.llr(scores), self.bounds
        return "elo0" if llr <= low else "elo1" if llr >= high else None


def _with_mean(share_V: NDArray[np.float64], score_V: NDArray[np.float64], mean: float) -> NDArray[np.float64]:
    """The most likely distribution over the scores that has this mean, where they had these shares.

    It is share / (1 + x (score - mean)), for the one x between the poles of the ends for which the mean is right.
    """
    above_V = score_V - mean
    low, high = -1 / above_V.max(), -1 / above_V.min()
    for _ in range(60):  # the sum falls from +inf to -inf
        x = (low + high) / 2
        if (share_V * above_V / (1 + x * above_V)).sum() > 0:
            low = x
        else:
            high = x
    likely_V: NDArray[np.float64] = share_V / (1 + x * above_V)
    return likely_V


class Rating(NamedTuple):
    """Strength in Elo above the anchor, and the 95% interval around it."""

    elo: float
    low: float
    high: float


def bradley_terry(scores: Mapping[tuple[str, str], Sequence[float]], anchor: str, *, resamples: int = RESAMPLES,
                  seed: int = 0) -> dict[str, Rating]:
    """Strengths that explain who beat whom, from the strongest down.

    To the units of each match half a win and half a loss are added, so that a player that won or lost everything has a
    finite strength, with a wide interval. Intervals are percentiles of Bayesian bootstraps over the units.
    Sources: Bradley and Terry, Biometrika 39 (1952); Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981).

    Args:
        scores: (player, other) -> the player's scores, of battles or of pairs; each pair of players in one direction.
        anchor: the player whose strength is 0.
        resamples: how many bootstraps.
        seed: of the bootstraps.

    Raises ValueError where a player met nobody who, over any number of others, leads to the anchor.

    >>> found = bradley_terry({("a", "b"): [1] * 75 + [0] * 25, ("b", "c"): [1] * 50 + [0] * 50}, "c")
    >>> {name: round(rating.elo) for name, rating in found.items()}
    {'a': 189, 'b': 0, 'c': 0}
    """
    matches = {pair: each for pair, each in scores.items() if len(each)}
    players = sorted({name for pair in scores for name in pair} | {anchor})
    _check_connected(matches, anchor, players)
    place = {name: number for number, name in enumerate(players)}
    random = np.random.default_rng(seed)
    units_PP = np.zeros((len(players), len(players)))
    points_RP = np.zeros((resamples + 1, len(players)))  # the first row: what was played
    for (one, other), each in matches.items():
        counts = Counter(map(float, each))
        score_V, count_V = np.array(list(counts)), np.array(list(counts.values()), np.float64)
        score_V, count_V = np.append(score_V, (0.0, 1.0)), np.append(count_V, (0.5, 0.5))
        units = count_V.sum()
        share_R = np.append(count_V @ score_V / units, random.dirichlet(count_V, resamples) @ score_V)
        points_RP[:, place[one]] += units * share_R
        points_RP[:, place[other]] += units * (1 - share_R)
        units_PP[place[one], place[other]] = units_PP[place[other], place[one]] = units
    elo_RP = _ELO * _strengths(points_RP, units_PP, place[anchor])
    low_P, high_P = np.percentile(elo_RP[1:], _LEVELS, axis=0)
    found = {name: Rating(float(elo_RP[0, at]), float(low_P[at]), float(high_P[at])) for name, at in place.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].elo))


def _check_connected(matches: Mapping[tuple[str, str], Sequence[float]], anchor: str, players: Sequence[str]) -> None:
    for one, other in matches:
        if one == other or (other, one) in matches:
            raise ValueError(f"{one} against {other}: each two different players have one list of scores")
    reached, last = {anchor}, set[str]()
    while reached != last:
        last = set(reached)
        reached |= {name for pair in matches if reached & {*pair} for name in pair}
    if unreached := [name for name in players if name not in reached]:
        raise ValueError(f"no battles lead from {anchor} to {', '.join(unreached)}")


def _strengths(points_RP: NDArray[np.float64], units_PP: NDArray[np.float64], anchor: int) -> NDArray[np.float64]:
    """Logits that make the expected points those that were made, by Newton's method; 0 for the anchor."""
    logit_RP = np.zeros_like(points_RP)
    others = np.arange(points_RP.shape[1]) != anchor
    for _ in range(200):
        expected_RPP = units_PP / (1 + np.exp(logit_RP[:, None, :] - logit_RP[:, :, None]))
        slope_RPP = expected_RPP * (1 - expected_RPP / np.where(units_PP > 0, units_PP, 1))
        hessian_RPP = np.eye(len(others)) * slope_RPP.sum(axis=2, keepdims=True) - slope_RPP
        missing_RP = points_RP - expected_RPP.sum(axis=2)
        step_RP = np.zeros_like(logit_RP)
        step_RP[:, others] = np.linalg.solve(hessian_RPP[:, others][:, :, others], missing_RP[:, others, None])[..., 0]
        logit_RP += step_RP.clip(-1, 1)  # a longer step could go astray where strengths are far apart
        if np.abs(step_RP).max(initial=0) < 1e-9:
            break
    return logit_RP
