"""Opposite points that head for each other, and how they pass.

An inside point x_a farther out than an outside point x_b on one normal of the surface has to come in, the other has to
go out: they meet head-on. Their gradients are opposite and lie along the line between them, so that the velocity of
least norm shortens this line and hardly turns it. A flow along a line keeps the order of its points; they are squeezed
together until the grid cannot show what lies between them.

Of all motions of the pair that bring the inside point farther in than the outside one, the rigid ones squeeze nothing.
So, while they head for each other, the line between them is turned rather than shortened: with the unit vector e along
it and the inward normal n, the inside point goes along t, the outside point along -t, where t is the part of n
perpendicular to e. This is the shorter way round. Where n and e are nearly parallel no way is much shorter, and t
leans towards the principal axis of the shape that is the least along e, to the side where t is already.
"""

from __future__ import annotations

import numpy as np

from .flow import Kernel

HEAD_ON = 0.5  # cosine between where a point goes and where the other is, above which it is in the way
LEAN = 0.1  # sine between n and e, below which t leans towards an axis


def turned(
    kernel: Kernel, at: np.ndarray, signs: np.ndarray, short: np.ndarray, wanted: np.ndarray, uphill: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What points want, where those that meet head-on within the kernel's shortest correlation length turn instead.

    Args:
        at: (2n, 3) mm, two sites of each of n points, first all first ones. signs: (2n,) +-1, inside and outside.
        short: (2n,) positive where a site must move.
        wanted: (2n,) mm by which sites should move along uphill (2n, 3), each about a unit vector.

    Returns:
        wanted and uphill, both sites of a point that turns with the same.
    """
    places, ways = (each.reshape(2, -1, 3).mean(axis=0) for each in (at, uphill))
    ways = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-9)
    side, moves = signs[: len(places)], (short > 0).reshape(2, -1).any(axis=0)
    between = places - places[:, None]  # from the first to the second
    gaps = np.linalg.norm(between, axis=-1)
    ahead = np.einsum("nma,na->nm", between, ways) > HEAD_ON * gaps
    near = gaps < min(length for length, _std in kernel.prior.gaussians)
    meet = ahead & ahead.T & near & (side[:, None] != side) & (moves[:, None] | moves)
    one = np.flatnonzero(meet.any(axis=1))
    other = np.where(meet, gaps, np.inf)[one].argmin(axis=1)

    def across(vectors: np.ndarray) -> np.ndarray:
        return vectors - (vectors * line).sum(axis=1, keepdims=True) * line

    line = between[one, other] / gaps[one, other, None]
    inward = across(side[one, None] * (ways[one] - ways[other]) / 2)
    axis = across(kernel.axes.T[np.abs(line @ kernel.axes).argmin(axis=1)])
    axis = np.where((inward * axis).sum(axis=1, keepdims=True) < 0, -axis, axis)
    inward += np.maximum(LEAN - np.linalg.norm(inward, axis=1, keepdims=True), 0) * axis
    wanted, uphill = wanted.reshape(2, -1).copy(), uphill.reshape(2, -1, 3).copy()
    wanted[:, one] = gaps[one, other] / 2
    uphill[:, one] = side[one, None] * inward / np.linalg.norm(inward, axis=1, keepdims=True)
    return wanted.reshape(-1), uphill.reshape(-1, 3)
