"""Chains of regions along an axis: the best one, and the sum of all, by one dynamic programme (Bertrand 2019, 2.6.4).

A chain labels N slices with an unbroken run of R ordered regions, each in one piece: from slice to slice the label
stays or goes up by one; it may begin and end with any region. Cut n, 0 <= n <= N, lies below slice n; a region is the
slices between two cuts. The score of a chain is the sum of its slices' scores (eq. 2.23).

The posterior of a chain is proportional to exp(score) times, for each of its boundaries, the part of the axis (between
the first and the last slice) that lies between the two slices the boundary separates. A priori, boundaries thus fall
anywhere along the axis, as a Poisson process with on average one in the volume. To count all chains alike instead would
favour chains of many regions, the more so the finer the slices are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Chains:
    """Which chains there are, and their prior, as logarithms: -inf is what may not be.

    Attributes:
        first, last: (R,) a chain may begin, or end, with the region.
        cuts: (R - 1, N + 1) region r ends and region r + 1 begins at the cut.
        shortest_mm: (R,) least length of each region.
        weights_mm: (N,) length of each slice.
    """

    first: np.ndarray
    last: np.ndarray
    cuts: np.ndarray
    shortest_mm: np.ndarray
    weights_mm: np.ndarray

    def reversed(self) -> Chains:
        """The same chains seen from the other end: slices and regions in reverse order."""
        return Chains(
            first=self.last[::-1],
            last=self.first[::-1],
            cuts=self.cuts[::-1, ::-1],
            shortest_mm=self.shortest_mm[::-1],
            weights_mm=self.weights_mm[::-1],
        )

    def latest_starts(self) -> np.ndarray:
        """(R, N + 1) highest cut at which a region that ends at the given cut may begin; -1 if there is none."""
        faces = np.concatenate([[0.0], np.cumsum(self.weights_mm)])
        tolerance = 1e-9 * faces[-1]
        long_enough = np.searchsorted(faces, faces - self.shortest_mm[:, None] + tolerance, side="right") - 1
        return np.minimum(long_enough, np.arange(len(faces)) - 1)


def chains_with(
    positions_mm: np.ndarray, weights_mm: np.ndarray, regions: int, min_length_mm: float, fixed: Mapping[int, int]
) -> Chains:
    """The chains over slices at `positions_mm` (N,) with the boundary above region r at cut ``fixed[r]``, for each r.

    Every region is at least `min_length_mm` long, except a single one that fills the axis, and the regions next to and
    between fixed boundaries, which may have any length. The fixed cuts must leave each of those a slice.
    """
    n = len(positions_mm)
    cuts = np.full((regions - 1, n + 1), -np.inf)
    if n > 1:
        cuts[:, 1:n] = np.log(np.diff(positions_mm) / (positions_mm[-1] - positions_mm[0]))
    first, last = np.zeros(regions), np.zeros(regions)
    shortest = np.full(regions, min(min_length_mm, weights_mm.sum()))
    for (
        r,
        cut,
    ) in fixed.items():  # a chain that begins at or below r, ends above r and may pass r only here, passes here
        cuts[r, np.arange(n + 1) != cut] = -np.inf
        first[r + 1 :] = -np.inf
        last[: r + 1] = -np.inf
    if fixed:
        shortest[min(fixed) : max(fixed) + 2] = 0.0
    return Chains(first, last, cuts, shortest, weights_mm)


def _forward(scores: np.ndarray, chains: Chains, plus: np.ufunc) -> tuple[np.ndarray, np.ndarray]:
    """The recursion in the semiring (`plus`, +): np.maximum finds the best chain, np.logaddexp sums over all.

    With P_r the prefix sums of the scores, the total V_r(n) of the chains that end at cut n with region r is

        V_r(n) = P_r(n) + plus over m of [V_{r-1}(m) + prior of the cut m - P_r(m)],

    over the cuts m where r may begin: a running `plus`, read at the latest such m. At m = 0 the axis begins.

    Args:
        scores: (N, R) score of each slice in each region.

    Returns:
        V and the bracket, each (R, N + 1).
    """
    prefix = np.zeros((scores.shape[1], len(scores) + 1))
    np.cumsum(scores.T, axis=1, out=prefix[:, 1:])
    totals, begun = np.empty_like(prefix), np.full_like(prefix, -np.inf)
    for r, latest in enumerate(chains.latest_starts()):
        if r > 0:
            begun[r] = totals[r - 1] + chains.cuts[r - 1] - prefix[r]
        begun[r, 0] = chains.first[r]
        totals[r] = np.where(latest >= 0, prefix[r] + plus.accumulate(begun[r])[latest], -np.inf)
    return totals, begun


def best_chain(scores: np.ndarray, chains: Chains) -> tuple[float, np.ndarray]:
    """Score and labels (N,) int8 of the chain with the largest score, whatever its prior.

    Of chains with equal scores it takes the one that ends with the lowest region, whose regions in turn begin lowest.
    """
    chains = replace(chains, cuts=np.where(np.isfinite(chains.cuts), 0.0, -np.inf))
    totals, begun = _forward(scores, chains, np.maximum)
    latest = chains.latest_starts()
    totals = totals[:, -1] + chains.last
    region = int(np.argmax(totals))
    best, stop = float(totals[region]), len(scores)
    labels = np.empty(len(scores), np.int8)
    while stop > 0:
        start = int(np.argmax(begun[region, : latest[region, stop] + 1]))
        labels[start:stop] = region
        region, stop = region - 1, start
    return best, labels


@dataclass(frozen=True, eq=False)
class Posterior:
    """Probabilities over all chains.

    Attributes:
        cuts: (R - 1, N + 1) the boundary between regions r and r + 1 is at the cut.
        presence: (R,) the chain has the region.
        marginals: (N, R) the slice belongs to the region.
        log_evidence: logarithm of the mean of exp(score) over the prior.
    """

    cuts: np.ndarray
    presence: np.ndarray
    marginals: np.ndarray
    log_evidence: float


def posterior(scores: np.ndarray, chains: Chains) -> Posterior:
    """Forward-backward over all chains, for scores (N, R) in units such that P(chain) ~ exp(score) x prior."""
    forward, _ = _forward(scores, chains, np.logaddexp)
    backward = _forward(scores[::-1, ::-1], chains.reversed(), np.logaddexp)[0][::-1, ::-1]
    log_sum = np.logaddexp.reduce(forward[:, -1] + chains.last)
    prior, _ = _forward(np.zeros_like(scores), chains, np.logaddexp)
    log_prior = np.logaddexp.reduce(prior[:, -1] + chains.last)

    cuts = np.exp(forward[:-1] + chains.cuts + backward[1:] - log_sum)
    begins_chain = np.exp(chains.first + backward[:, 0] - log_sum)
    passed = np.cumsum(cuts, axis=1)
    entered = begins_chain[:, None] + np.pad(passed, ((1, 0), (0, 0)))  # the region begins at or below the cut
    left = np.pad(passed, ((0, 1), (0, 0)))  # the region ends at or below the cut
    return Posterior(
        cuts=cuts,
        presence=np.clip(entered[:, -1], 0.0, 1.0),
        marginals=np.clip(entered - left, 0.0, 1.0)[:, :-1].T,
        log_evidence=float(log_sum - log_prior),
    )
