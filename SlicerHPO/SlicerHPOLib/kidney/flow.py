"""Minimum-norm flows: the most probable way to bring points to their side of a surface.

The shape model is a Gaussian process of velocities v: R^3 -> R^3 in mm (`Prior`) with the covariance

    K(x, y) = sum_g a_g^2 exp(-|x - y|^2 / 2 s_g^2) I + sum_m B_m(x) B_m(y)^T,

local deformations of standard deviation a_g and correlation length s_g, and modes B_m: translations, rotations and
log-scales about the shape's centre along its principal axes, and the modes of variation of a template where given. Its
reproducing-kernel Hilbert space H has the norm ||v||_H, which measures v in standard deviations of the model: of all
velocities that do the same to a finite number of points, the one of least norm is the most probable.

**Constraints.** Let q_k be the places of the points, s_k = +1 inside, -1 outside, and c_k = s_k phi(q_k) their margins
in the implicit function phi (mm, positive inside). To first order a velocity changes c_k by s_k grad phi(q_k) . v(q_k)
= <v, r_k>_H; by the reproducing property its representer is r_k = K(., q_k) g_k with g_k = s_k grad phi(q_k).

**One step** is the least velocity that brings all margins to their demands d_k,

    min 1/2 ||v||_H^2   subject to   <v, r_k>_H >= b_k = d_k - c_k.

Its solution is v = sum_k mu_k r_k with the multipliers of the dual quadratic programme

    min 1/2 mu^T A mu - b^T mu   subject to   mu >= 0,   A_kl = <r_k, r_l>_H = g_k . K(q_k, q_l) g_l,

a non-negative least-squares problem in R mu with A = R^T R. Then ||v||_H^2 = mu^T A mu.

**The step is a diffeomorphism** if its displacement w = tau v, tau <= 1, has Lip(w) = L < 1: Id + w is then injective
(|x + w(x) - y - w(y)| >= (1 - L) |x - y|), proper, and det(I + Dw) >= (1 - L)^3 > 0; by Hadamard's theorem it is a
diffeomorphism of R^3 onto itself. tau is chosen so that L <= `LIPSCHITZ`, by the smaller of two bounds of Lip(v):

    ||v||_H sup_x,|u|=|e|=1 ( d_u d_u' [e . K(x, x') e] at x' = x )^(1/2)      (Cauchy-Schwarz in H), and
    sum_g a_g^2 e^(-1/2) / s_g sum_k |mu_k g_k| + the same of the modes        (triangle inequality).

The next step starts from q_k + w(q_k). The composition h = (Id + w_T) o ... o (Id + w_1) is a diffeomorphism as its
factors are, det Dh is the product of theirs, and phi o h has the same topology as phi. sum_t ||w_t||_H is the length of
the path, an upper bound of the distance between shapes in the model's units (Beg 2005; Younes 2010, chapter 11).

All lengths are in mm: nothing depends on the spacing of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from .modes import Modes

LIPSCHITZ = 0.5  # of one step; below 1


@dataclass(frozen=True)
class Prior:
    """How much a kidney's surface may still move where a segmentation is wrong: standard deviations. A network's errors
    are local: with the pose twice as free, the click robot needed a quarter more clicks on development subjects.

    gaussians: (correlation length in mm, standard deviation in mm) of local deformations.
    """

    translation_mm: float = 4.0
    rotation: float = 0.06
    log_scale: float = 0.06
    gaussians: tuple[tuple[float, float], ...] = ((16.0, 6.0), (36.0, 8.0))

    def finer(self) -> Prior:
        """With correlation lengths 0.6 times as long and a pose twice as free: more can be different next to each
        other, and all can move farther."""
        gaussians = tuple((0.6 * length, std) for length, std in self.gaussians)
        return Prior(2 * self.translation_mm, 2 * self.rotation, 2 * self.log_scale, gaussians)


@dataclass(frozen=True, eq=False)
class Step:
    """The displacement w of one step, x -> x + w(x).

    sites (k, 3) and forces (k, 3) = tau mu_k g_k of the Gaussians; matrix (3, 3) and shift (3,) of the pose, about the
    kernel's centre; modes (M,) coefficients; norm ||w||_H; lipschitz: an upper bound of Lip(w).
    """

    sites: np.ndarray
    forces: np.ndarray
    matrix: np.ndarray
    shift: np.ndarray
    modes: np.ndarray
    norm: float
    lipschitz: float


class Kernel:
    """K of a shape.

    Args:
        centre_mm: (3,) its centre, RAS. axes: (3, 3) its principal axes, unit columns.
        modes: velocities of its modes of variation, one standard deviation each.
    """

    def __init__(self, prior: Prior, centre_mm: np.ndarray, axes: np.ndarray, modes: Modes | None = None):
        self.prior, self.centre, self.axes, self.modes = prior, centre_mm, axes, modes
        self._mode_slopes = np.zeros(0) if modes is None else modes.lipschitz
        squares = sum((a / s) ** 2 for s, a in prior.gaussians) + prior.rotation**2 + prior.log_scale**2
        self._slope = float(np.sqrt(squares + (self._mode_slopes**2).sum()))  # Lip(v) <= this times ||v||_H

    def _features(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        """(n, 9 + M): g_k . B_m(x_k)."""
        d, prior = x - self.centre, self.prior
        columns = [
            prior.translation_mm * g,
            prior.rotation * np.cross(d, g),
            prior.log_scale * (d @ self.axes) * (g @ self.axes),
        ]
        if self.modes is not None:
            columns.append(np.einsum("man,na->nm", self.modes.at(x.T), g))
        return np.concatenate(columns, axis=1)

    def least_step(self, x: np.ndarray, g: np.ndarray, b: np.ndarray) -> Step:
        """The capped step of least norm with g_k . v(x_k) >= b_k; x, g: (n, 3), b: (n,)."""
        d2 = ((x[:, None] - x) ** 2).sum(-1)
        features = self._features(x, g)
        gram = sum(a * a * np.exp(d2 / (-2 * s * s)) for s, a in self.prior.gaussians) * (g @ g.T)
        gram += features @ features.T
        gram[np.diag_indices(len(x))] += 1e-7 * np.trace(gram) / len(x) + 1e-12
        root = np.linalg.cholesky(gram).T
        mu, _ = nnls(root, np.linalg.solve(root.T, b), maxiter=100 * len(x))
        norm = float(np.linalg.norm(root @ mu))
        active = mu > 0
        forces, coefficients = mu[active, None] * g[active], mu @ features
        translation, rotation, scale, modes = np.split(coefficients, [3, 6, 9])
        matrix = self.prior.log_scale * (self.axes * scale) @ self.axes.T
        matrix += self.prior.rotation * np.cross(rotation, np.eye(3)).T  # columns: rotation x e_i
        direct = np.linalg.norm(forces, axis=1).sum() * sum(a * a / s for s, a in self.prior.gaussians) * np.exp(-0.5)
        direct += np.linalg.norm(matrix, 2) + np.abs(modes) @ self._mode_slopes
        lipschitz = min(float(direct), norm * self._slope)
        tau = min(1.0, LIPSCHITZ / max(lipschitz, 1e-12))
        shift = tau * self.prior.translation_mm * translation
        return Step(x[active], tau * forces, tau * matrix, shift, tau * modes, tau * norm, tau * lipschitz)

    def displacement(self, step: Step, x: np.ndarray) -> np.ndarray:
        """w (3, n) at x (3, n), in the precision of x."""
        return self._evaluate(step, x, False)[0]

    def displacement_and_jacobian(self, step: Step, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """w (3, n) and det(I + Dw) (n,) at x (3, n), in the precision of x."""
        return self._evaluate(step, x, True)

    def _evaluate(self, step: Step, x: np.ndarray, jacobian: bool):
        kind = x.dtype.type
        d = x - self.centre[:, None].astype(kind)  # differences of squares lose fewer digits near the origin
        sites, forces = (step.sites - self.centre).astype(kind), step.forces.T.astype(kind)
        d2 = (sites * sites).sum(1)[:, None] + (d * d).sum(0)
        d2 -= 2 * sites @ d
        w = step.matrix.astype(kind) @ d
        w += step.shift[:, None].astype(kind)
        slopes = np.zeros_like(d2) if jacobian else None
        for s, a in self.prior.gaussians:
            values = np.exp(np.maximum(d2 * kind(-0.5 / s**2), kind(-50)))  # denormals are slow
            values *= kind(a * a)
            w += forces @ values
            if jacobian:
                values *= kind(1 / s**2)
                slopes += values
        if self.modes is not None:
            field, field_slopes = self.modes.combined(step.modes, x)
            w += field
        if not jacobian:
            return w, None
        # D of sum_k f_k e(x - q_k) is -sum_k slope_k f_k (x - q_k)^T
        moments = (forces[:, None, :] * sites.T).reshape(9, -1)
        dw = (moments @ slopes).reshape(3, 3, -1)
        dw -= (forces @ slopes)[:, None] * d
        dw += (np.eye(3) + step.matrix).astype(kind)[:, :, None]
        if self.modes is not None:
            dw += field_slopes
        return w, determinant(dw)


def determinant(m: np.ndarray) -> np.ndarray:
    """(n,) of matrices (3, 3, n)."""
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
