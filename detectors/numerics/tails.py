"""Tails and quantiles of the distributions that bounds and p-values come from.

Student's, beta, gamma, chi-square, noncentral chi-square and Kolmogorov's, one number at a time.
`scipy.special` has them all, but importing it takes 16 MB of a sidecar's memory; the tests compare
every function here with it.

Beta and gamma variables are seen on a logarithmic scale, where their densities are log-concave:
with ``s`` the distance from the mode of ``logit x`` (beta) or ``ln x`` (gamma), the density is
proportional to ``exp(w(s))``,

    ``w(s) = a (s - ln(1 + r (e^s - 1)) / r)``,  ``r = a / (a + b)``, and ``r -> 0`` for gamma,

which loses no digits however large ``a`` and ``b`` are. Tails are integrated by the double
exponential rule [1]_, from the side on which they are small, and so keep their relative precision.
The logarithm of a tail of a log-concave density is concave [2]_: Newton's method on it finds a
quantile from any start.

References
----------
.. [1] Takahasi, Mori, "Double exponential formulas for numerical integration", Publications of the
   Research Institute for Mathematical Sciences 9, 1974.
.. [2] Bagnoli, Bergstrom, "Log-concave probability and its applications", Economic Theory 26, 2005.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collectors.batch import Floats

#: A tail is cut off where its density has fallen by ``exp(-REACH)``.
_REACH = 38.0
#: Points and weights of the double exponential rule for ``∫ f(v) dv`` over ``v > 0``, where ``f``
#: falls like ``exp(-v)`` or faster: ``v = exp(y - exp(-y))``, in steps of 1/16.
_Y: Floats = np.arange(-64, 61) / 16
_POINTS: Floats = np.exp(_Y - np.exp(-_Y))
_WEIGHTS: Floats = _POINTS * (1 + np.exp(-_Y)) / 16

#: Above this the square root of a noncentral chi-square variable is normal with variance 1, to
#: five digits, and found quicker.
_NORMAL = 1e6

#: From here on four terms of Stirling's series have all digits of a double.
_STIRLING_MIN = 32.0

#: Below this the approximation that a quantile of gamma is looked for from is of no use.
_ROOT_MIN = 0.1

#: Newton's steps, of which four or five are usual.
_STEPS_MAX = 100
#: A last step of so many standard deviations leaves an error of about its square.
_LAST_STEP = 1e-7


def beta_quantile(a: float, b: float, p: float) -> float:
    """Value below which a beta variable stays with probability `p` in ``(0, 1)``.

    Parameters
    ----------
    a, b
        Shape, at least 0.5.

    Examples
    --------
    >>> round(beta_quantile(2, 2, 0.5), 12)
    0.5
    """
    if a > b:
        r, s = b / (a + b), _quantile(b, b / (a + b), 1 - p, p)
        return (1 - r) / (1 + r * math.expm1(s))
    if a == 1:
        return -math.expm1(math.log1p(-p) / b)
    r, s = a / (a + b), _quantile(a, a / (a + b), p, 1 - p)
    return r * math.exp(s) / (1 + r * math.expm1(s))


def gamma_quantile(a: float, p: float) -> float:
    """Value below which a gamma variable of shape `a` stays with probability `p` in ``(0, 1)``.

    Examples
    --------
    >>> round(gamma_quantile(1, 0.5) / math.log(2), 12)
    1.0
    """
    return a * math.exp(_gamma_quantile(a, p, 1 - p))


@lru_cache(maxsize=1024)
def chi_square_quantile(freedom: float, above: float) -> float:
    """Value that a chi-square variable exceeds with probability `above` in ``(0, 1)``.

    Examples
    --------
    >>> round(chi_square_quantile(2, 0.05) / (2 * math.log(20)), 12)
    1.0
    """
    return freedom * math.exp(_gamma_quantile(freedom / 2, 1 - above, above))


@lru_cache(maxsize=1024)
def student_quantile(freedom: float, p: float) -> float:
    """Value below which Student's variable stays with probability `p` in ``(0, 1)``.

    ``1/2 + t / (2 sqrt(t² + freedom))`` is a beta variable with both shapes ``freedom / 2``.

    Examples
    --------
    >>> round(student_quantile(1, 0.75), 12)
    1.0
    """
    return math.sqrt(freedom) * math.sinh(_quantile(freedom / 2, 0.5, p, 1 - p) / 2)


def student_above(freedom: float, t: float) -> float:
    """Probability that Student's variable exceeds `t`.

    Examples
    --------
    >>> round(student_above(1, 1.0), 12)
    0.25
    """
    a, s = freedom / 2, 2 * math.asinh(t / math.sqrt(freedom))
    side = -1 if s < 0 else 1
    share = math.exp(_log_tail(s, side, a, 0.5) - math.log(sum(_halves(a, 0.5))))
    return share if side > 0 else 1 - share


def chi_square_above(freedom: float, x: float) -> float:
    """Probability that a chi-square variable exceeds `x`.

    Examples
    --------
    >>> round(chi_square_above(2, 2 * math.log(20)), 12)
    0.05
    """
    return _chi_square(freedom, x)[1]


def chi_square_below(freedom: float, x: float) -> float:
    """Probability that a chi-square variable does not exceed `x`."""
    return _chi_square(freedom, x)[0]


def noncentrality(x: float, freedom: float, p: float) -> float:
    """Noncentrality at which a noncentral chi-square variable stays below `x` with probability `p`.

    0 where it does so less often even without any. The variable is a mixture of chi-square ones
    with ``freedom + 2 j`` degrees of freedom, ``j`` a Poisson variable of half the
    noncentrality [1]_; the logarithm of its distribution function is concave in that.

    References
    ----------
    .. [1] Johnson, Kotz, Balakrishnan, "Continuous univariate distributions", volume 2, 1995,
       chapter 29.
    """
    if chi_square_below(freedom, x) <= p:
        return 0.0
    if x > _NORMAL:
        return (math.sqrt(x - freedom + 1) + _normal(1 - p)) ** 2
    y = x / 2
    number, below_and_terms, logs = _mixture(x, freedom)
    mean = (math.sqrt(max(x - freedom + 1, 1.0)) + _normal(1 - p)) ** 2 / 2
    goal = math.log(p)
    for _ in range(_STEPS_MAX):
        mean = max(mean, 1e-300)
        # What this mean makes of the logarithms at a mean of y: small numbers keep their digits.
        weights = np.exp(logs + (number * math.log(mean / y) + (y - mean)))
        share, slope = (below_and_terms @ weights).tolist()
        step = (math.log(share) - goal) * share / slope
        mean += step if mean + step > 0 else -mean / 2
        if abs(step) <= _LAST_STEP * math.sqrt(mean):
            break
    return 2 * mean


@lru_cache(maxsize=1)
def _mixture(x: float, freedom: float) -> tuple[Floats, Floats, Floats]:
    """Return what `noncentrality` needs of one `x`, for it is asked for two bounds in turn.

    Returns
    -------
    tuple
        Numbers ``j``; of each, the distribution function at `x` of the chi-square variable with
        ``freedom + 2 j`` degrees of freedom, and how much less it is for the next ``j``, shape
        ``(2, numbers)``; the logarithm of the Poisson probability of each at a mean of ``x / 2``.
    """
    half, y = freedom / 2, x / 2
    # Beyond these, the Poisson variable is unlikely or the chi-square one never below x.
    spread = math.sqrt(y)
    first = max(0, int(y - half - 20 * spread - 20))
    last = int(y + 12 * spread + 40)
    number = np.arange(first, last + 1, dtype=np.float64)
    terms = np.exp(_log_poisson(number + half, y))
    below = np.cumsum(terms[::-1])[::-1]
    return number, np.stack((below, terms)), _log_poisson(number, y)


def noncentral_above(x: float, freedom: float, center: float) -> float:
    """Probability that a noncentral chi-square variable exceeds `x`.

    The mixture of `noncentrality`, summed from the side on which it is small, so that a small
    probability keeps its digits.

    Parameters
    ----------
    center
        The noncentrality, not negative.

    Examples
    --------
    >>> noncentral_above(5.0, 3, 0.0) == chi_square_above(3, 5.0)
    True
    """
    if center <= 0 or x <= 0:
        return chi_square_above(freedom, x)
    if max(x, center) > _NORMAL:
        return NormalDist().cdf(math.sqrt(center) - math.sqrt(max(0.0, x - freedom + 1)))
    half, y, mean = freedom / 2, x / 2, center / 2
    # Beyond these the Poisson variable is too unlikely to add anything.
    spread = 12 * math.sqrt(mean) + 40
    first, last = max(0, int(mean - spread)), int(mean + spread)
    number = np.arange(first, last + 1, dtype=np.float64)
    terms = np.exp(_log_poisson(number + half, y))
    above = chi_square_above(freedom + 2 * first, x) + np.cumsum(terms) - terms
    return min(1.0, float(np.exp(_log_poisson(number, mean)) @ above))


def noncentral_quantile(above: float, freedom: float, center: float) -> float:
    """Value that a noncentral chi-square variable exceeds with probability `above`.

    Examples
    --------
    >>> round(noncentral_above(noncentral_quantile(0.01, 3, 5.0), 3, 5.0), 6)
    0.01
    """
    low = 0.0
    high = freedom + center + 2.0
    while noncentral_above(high, freedom, center) > above:
        low, high = high, 2 * high
    while high - low > _LAST_STEP * high:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if noncentral_above(middle, freedom, center) > above else (low, middle)
        )
    return high


def kolmogorov_above(x: float) -> float:
    """Probability that a variable of Kolmogorov's distribution exceeds `x`.

    Of its two series [1]_ the one that converges at once.

    References
    ----------
    .. [1] Feller, "On the Kolmogorov-Smirnov limit theorems for empirical distributions", Annals of
       Mathematical Statistics 19(2), 1948.

    Examples
    --------
    >>> round(kolmogorov_above(1.3581), 4)
    0.05
    """
    if x <= 0:
        return 1.0
    if x < 1:
        scale = -((math.pi / x) ** 2) / 8
        return 1 - math.sqrt(2 * math.pi) / x * sum(math.exp(scale * k * k) for k in (1, 3, 5, 7))
    return 2 * sum(sign * math.exp(-2 * (k * x) ** 2) for k, sign in enumerate((1, -1, 1, -1), 1))


@lru_cache(maxsize=1024)
def kolmogorov_quantile(above: float) -> float:
    """Value that a variable of Kolmogorov's distribution exceeds with probability `above`."""
    low, high = 0.0, math.sqrt(-math.log(above / 2) / 2)
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if kolmogorov_above(middle) > above else (low, middle)
    return high


def _quantile(a: float, r: float, below: float, above: float) -> float:
    """Distance ``s`` from the mode with so much probability below it and above it."""
    left, right = _halves(a, r)
    share, side = (below, -1) if below * right <= above * left else (above, 1)
    goal = math.log(share * (left + right))
    deviation = 1 / math.sqrt(a * (1 - r))
    return _newton(-side * min(_normal(share), 0.0) * deviation, side, goal, a, r)


def _newton(s: float, side: int, goal: float, a: float, r: float) -> float:
    """Return the distance at which the logarithm of the tail is `goal`, looked for from `s` on."""
    last = _LAST_STEP / math.sqrt(a * (1 - r))
    for _ in range(_STEPS_MAX):
        tail = _log_tail(s, side, a, r)
        step = side * (tail - goal) * math.exp(tail - _log_weight(s, a, r))
        s += step
        if abs(step) <= last:
            break
    return s


def _gamma_quantile(a: float, below: float, above: float) -> float:
    """As `_quantile` for gamma, from Wilson and Hilferty's approximation, which is near it [1]_.

    References
    ----------
    .. [1] Wilson, Hilferty, "The distribution of chi-square", Proceedings of the National Academy
       of Sciences 17(12), 1931.
    """
    share, side = (below, -1) if below <= above else (above, 1)
    root = 1 - 1 / (9 * a) - side * _normal(share) / (3 * math.sqrt(a))
    if root <= _ROOT_MIN:
        return _quantile(a, 0.0, below, above)
    goal = math.log(share) + _log_gamma_whole(a)
    return _newton(3 * math.log(root), side, goal, a, 0.0)


@lru_cache(maxsize=1)
def _chi_square(freedom: float, x: float) -> tuple[float, float]:
    """Probabilities below and above `x`."""
    a = freedom / 2
    if x <= 0:
        return 0.0, 1.0
    s = math.log(x / freedom)
    side = -1 if s < 0 else 1
    there = _log_tail(s, side, a, 0.0)
    share = math.exp(there - _log_gamma_whole(a))
    return (share, 1 - share) if side < 0 else (1 - share, share)


def _log_gamma_whole(a: float) -> float:
    """Logarithm of the integral of the weight over all ``s`` for gamma: ``ln(Γ(a) e^a / a^a)``."""
    if a < _STIRLING_MIN:
        return math.lgamma(a) + a - a * math.log(a)
    square = 1 / (a * a)
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))
    return math.log(2 * math.pi / a) / 2 + series / a


@lru_cache(maxsize=1024)
def _halves(a: float, r: float) -> tuple[float, float]:
    """Integrals of the weight to the left and to the right of the mode."""
    return math.exp(_log_tail(0.0, -1, a, r)), math.exp(_log_tail(0.0, 1, a, r))


def _log_weight(s: float, a: float, r: float) -> float:
    u = math.expm1(s)
    return a * (s - (math.log1p(r * u) / r if r else u))


def _log_tail(s: float, side: int, a: float, r: float) -> float:
    """Logarithm of the integral of the weight from `s` outwards: to the left (-1) or right (1)."""
    here = _log_weight(s, a, r)
    # Newton's method for where the weight has fallen far enough, from far enough on.
    length = math.sqrt(2 * _REACH / (a * (1 - r)))
    for _ in range(6):
        u = math.expm1(s + side * length)
        slope = -side * a * (1 - r) * u / (1 + r * u)
        fallen = here - _log_weight(s + side * length, a, r)
        length += (fallen - _REACH) / slope
    scale = length / _REACH
    points = s + side * scale * _POINTS
    moved = np.expm1(points)
    weights = a * (points - (np.log1p(r * moved) / r if r else moved)) - here
    return here + math.log(scale * float(_WEIGHTS @ np.exp(weights)))


def _log_poisson(number: Floats, mean: float) -> Floats:
    """``ln(mean^n e^-mean / Γ(n + 1))`` of numbers, whole or not, one apart."""
    first = float(number[0])
    logs = np.empty(number.size)
    logs[0] = first * math.log(mean) - mean - math.lgamma(first + 1)
    np.log(mean / number[1:], out=logs[1:])
    return np.cumsum(logs)


def _normal(p: float) -> float:
    return NormalDist().inv_cdf(p)
