"""Fits the polynomials of the kernels, in the order of their terms: python fit.py (numpy and mpmath needed)."""

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(f, weight, low, high, degree, points=400, rounds=120):
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


def erf(x):
    """-ln(1 - erf(x)) / x"""
    return -mp.log(mp.erfc(x)) / x


def exponential(r):
    """(e^r - 1 - r) / r^2"""
    return (mp.expm1(r) - r) / r**2 if r else mp.mpf(1) / 2


def logarithm(f):
    """(ln(1 + f) - f + f^2/2) / f^3"""
    return (mp.log1p(f) - f + f**2 / 2) / f**3 if f else mp.mpf(1) / 3


def arctangent(s):
    """(atan(x) / x - 1) / x^2 for s = x^2"""
    return (mp.atan(mp.sqrt(s)) / mp.sqrt(s) - 1) / s


half = float(mp.log(2) / 2) * 1.0001
low, high = float(mp.sqrt(0.5)) - 1, float(mp.sqrt(2)) - 1
for name, polynomial in [
    ("erf", fit(erf, lambda x: x * mp.erfc(x) / mp.erf(x), 1e-6, 4.0, 8)),
    ("exponential", fit(exponential, lambda r: abs(r**2 / mp.expm1(r)), -half, half, 4)),
    ("arctangent", fit(arctangent, lambda s: s / (1 + s * arctangent(s)), 1e-9, 1.0, 9)),
    ("logarithm", fit(logarithm, lambda f: abs(f**3 / mp.log1p(f)), low, high, 7)),
]:
    coefficients, error = polynomial
    print(f"{name}, relative error {error:.1e}:")
    kind = np.float64 if name == "arctangent" else np.float32
    print(", ".join(f"{kind(c)!s}" for c in coefficients[::-1]))
