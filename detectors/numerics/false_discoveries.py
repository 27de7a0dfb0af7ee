"""Which of many findings to believe: false discovery rates over the columns of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from collectors.batch import Floats


def benjamini_hochberg(p_values: Floats, level: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses to reject so that of the rejected a share of `level` is true on average.

    The ``R`` smallest of ``K``, with the largest ``R`` for which the ``R``-th smallest is at most
    ``R level / K`` [1]_. Where nothing has drifted, any is rejected with probability `level` at
    most. Both hold for independent p-values, and for positively dependent ones [2]_ (columns
    that move together); for columns that move against one another they can be exceeded, by a
    factor of ``1 + 1/2 + ... + 1/K`` at the very worst.

    Parameters
    ----------
    p_values
        Shape ``(K,)``; none of no hypotheses are rejected.

    References
    ----------
    .. [1] Benjamini, Hochberg, "Controlling the false discovery rate", Journal of the Royal
       Statistical Society B 57(1), 1995.
    .. [2] Benjamini, Yekutieli, "The control of the false discovery rate in multiple testing under
       dependency", Annals of Statistics 29(4), 2001.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.9, 0.01, 0.04]), 0.06).tolist()
    [False, True, True]
    """
    return _largest_below(p_values, level * np.arange(1, p_values.size + 1) / p_values.size)


def selected_level(selected: int, hypotheses: int, level: float) -> float:
    """Level of the bounds of each column, after so many of them were selected.

    ``max(1, R) level / K`` [1]_: of the bounds of the selected, a share of `level` is wrong on
    average. With it a column is selected by :func:`benjamini_hochberg` just where its bound is
    beyond what the p-value tests.

    References
    ----------
    .. [1] Benjamini, Yekutieli, "False discovery rate-adjusted multiple confidence intervals for
       selected parameters", Journal of the American Statistical Association 100(469), 2005.

    Examples
    --------
    >>> selected_level(2, 100, 0.05)
    0.001
    """
    return max(1, selected) * level / max(1, hypotheses)


def e_benjamini_hochberg(log_e_values: Floats, log_level: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses to reject by their e-values, whatever the dependence between them.

    The ``R`` largest of ``K``, with the largest ``R`` for which the ``R``-th largest is at least
    ``K / (R level)`` [1]_.

    Parameters
    ----------
    log_e_values
        Natural logarithms, shape ``(K,)``; -inf is allowed.
    log_level
        Natural logarithm of the level: of 1/1000 for one false discovery in a thousand.

    References
    ----------
    .. [1] Wang, Ramdas, "False discovery rate control with e-values", Journal of the Royal
       Statistical Society B 84(3), 2022.

    Examples
    --------
    >>> e_benjamini_hochberg(np.log([50.0, 1.0, 70.0]), np.log(0.05)).tolist()
    [True, False, True]
    """
    shares = np.arange(1, log_e_values.size + 1) / max(1, log_e_values.size)
    return _largest_below(-log_e_values, log_level + np.log(shares))


def _largest_below(values: Floats, limits: Floats) -> npt.NDArray[np.bool_]:
    """Mark the `R` smallest values: `R` the last rank whose value keeps the limit of its rank."""
    order = np.argsort(values, kind="stable")
    kept = np.flatnonzero(values[order] <= limits)
    marked = np.zeros(values.size, np.bool_)
    if kept.size:
        marked[order[: kept[-1] + 1]] = True
    return marked
