"""Fits the polynomials of erf.rs: python erf.py (numpy and mpmath needed)."""

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(f, weight, low, high, degree, points=400, rounds=60):
    """The polynomial with the smallest maximum weighted error (Lawson's iteration)."""
    angles = np.pi * (np.arange(points) + 0.5) / points
    x = (low + high) / 2 + (high - low) / 2 * np.cos(angles)
    exact = np.array([float(f(mp.mpf(v))) for v in x])
    weights = np.array([float(weight(mp.mpf(v))) for v in x])
    basis = np.polynomial.chebyshev.chebvander((2 * x - low - high) / (high - low), degree)
    share = np.full(points, 1 / points)
    for _ in range(rounds):
        scale = np.sqrt(share) * weights
        fitted = np.linalg.lstsq(basis * scale[:, None], exact * scale, rcond=None)[0]
        errors = np.abs(weights * (basis @ fitted - exact))
        share *= errors
        share /= share.sum()
    polynomial = np.polynomial.Chebyshev(fitted, domain=[low, high])
    return polynomial.convert(kind=np.polynomial.Polynomial).coef, errors.max()


def near(s):
    """erf(x)/x - 1 for s = x²"""
    return mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1


def far(x):
    """-ln(1 - erf(x))"""
    return -mp.log(mp.erfc(x))


for name, polynomial in [
    ("NEAR", fit(near, lambda s: 1 / (1 + near(s)), 1e-12, 1.0, 6)),
    ("FAR", fit(far, lambda x: mp.erfc(x) / mp.erf(x), 1.0, 4.0, 7)),
]:
    coefficients, error = polynomial
    print(f"{name}, relative error {error:.1e}:")
    print(", ".join(f"{np.float32(c)!s}" for c in coefficients[::-1]))
