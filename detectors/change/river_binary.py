"""River's change detectors for zeros and ones: an error rate that rises.

As :mod:`detectors.change.river_detectors` says: imported only where a rule asks for one.
"""

from __future__ import annotations

import math
from typing import Any

from river.drift import binary

from detectors.change.change import DamagedMemory, Memory, Shift
from detectors.change.river_detectors import RiverDetector, numbers_of, set_mean, set_state


class Ddm(RiverDetector[Any]):
    """DDM (Gama and others, 2004): an error rate that rose above the lowest one. Rises only.

    `before` is the lowest rate; `after` the one since it began, which holds both.
    """

    def __init__(self, *, warm_start: int, drift_threshold: float) -> None:
        super().__init__(lambda: binary.DDM(warm_start=warm_start, drift_threshold=drift_threshold))

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401 - river's, untyped
        return Shift(row, True, detector._p_min, detector._p.get())  # noqa: FBT003 - upward

    def memory(self) -> Memory:
        """Return the rate and its minimum; NaN stands for none yet."""
        one = self._detector
        lowest = [math.nan if part is None else part for part in (one._p_min, one._s_min)]
        return Memory([one._p.n, one._p.get(), *lowest, one._ps_min])

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        n, mean, p_min, s_min, ps_min = numbers_of(memory, 5)
        one = self._detector = self._make()
        set_mean(one._p, n, mean)
        one._p_min = None if math.isnan(p_min) else p_min
        one._s_min = None if math.isnan(s_min) else s_min
        one._ps_min = ps_min


class Eddm(RiverDetector[Any]):
    """EDDM (Baena-García and others, 2006): errors that follow sooner on one another. Rises only.

    `before` is the error rate since it began; `after` is not known.
    """

    def __init__(self, *, warm_start: int, beta: float) -> None:
        # A warning is none of our matter; river wants its level above that of a change.
        super().__init__(lambda: binary.EDDM(warm_start=warm_start, alpha=1.0, beta=beta))

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401 - as above
        return Shift(row, True, detector._n_errors / detector._n, math.nan)  # noqa: FBT003 - upward

    def memory(self) -> Memory:
        """Return the distances between errors, the counts, and the largest level."""
        one = self._detector
        distances = one._error_distances
        figures = (distances.mean.n, distances.mean.get(), distances._S)
        counts = (one._n, one._last_error, one._n_errors)
        return Memory(list(map(float, (*figures, *counts, one._p2s_prime_max))))

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        n, mean, squares, *counts, largest = numbers_of(memory, 7)
        if not all(count.is_integer() for count in counts):
            raise DamagedMemory("the counts of EDDM are no whole numbers")
        one = self._detector = self._make()
        set_mean(one._error_distances.mean, n, mean)
        one._error_distances._S = squares
        one._n, one._last_error, one._n_errors = map(int, counts)
        one._p2s_prime_max = largest


class HddmA(RiverDetector[Any]):
    """HDDM_A (Frías-Blanco and others, 2015): means before and after a cut, by Hoeffding's bound.

    `before` and `after` are these means. It sees rises only, unless it is `two_sided`.
    """

    _MEANS = ("_x_min", "_x_max", "_z")

    def __init__(self, *, drift_confidence: float, two_sided: bool) -> None:
        # A warning is none of our matter: no second level to compare with.
        super().__init__(
            lambda: binary.HDDMA(
                drift_confidence=drift_confidence,
                warning_confidence=drift_confidence,
                two_sided_test=two_sided,
            )
        )

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401 - as above
        upward = bool(detector._mean_incr(detector.drift_confidence))
        cut, whole = (detector._x_min if upward else detector._x_max), detector._z
        after = (whole.get() * whole.n - cut.get() * cut.n) / (whole.n - cut.n)
        return Shift(row, upward, cut.get(), after)

    def memory(self) -> Memory:
        """Return the three means."""
        means = [getattr(self._detector, name) for name in self._MEANS]
        return Memory([part for mean in means for part in (float(mean.n), mean.get())])

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        numbers = numbers_of(memory, 2 * len(self._MEANS))
        self._detector = self._make()
        for name, n, mean in zip(self._MEANS, numbers[::2], numbers[1::2], strict=True):
            set_mean(getattr(self._detector, name), n, mean)


class HddmW(RiverDetector[Any]):
    """HDDM_W (Frías-Blanco and others, 2015): weighted means, by McDiarmid's bound.

    `before` and `after` are these means. It sees rises only, unless it is `two_sided`.
    """

    _SAMPLES = ("_total", "_s1_decr", "_s1_incr", "_s2_decr", "_s2_incr")

    def __init__(self, *, drift_confidence: float, lambda_val: float, two_sided: bool) -> None:
        super().__init__(
            lambda: binary.HDDMW(
                drift_confidence=drift_confidence,
                warning_confidence=drift_confidence,
                lambda_val=lambda_val,
                two_sided_test=two_sided,
            )
        )

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401 - as above
        upward = bool(detector._detect_mean_incr(detector.drift_confidence))
        side = "incr" if upward else "decr"
        first, second = (getattr(detector, f"_s{number}_{side}") for number in (1, 2))
        return Shift(row, upward, first.ewma, second.ewma)

    def memory(self) -> Memory:
        """Return cut points and samples; their weighted means as the extension writes them."""
        one = self._detector
        samples = [getattr(one, name) for name in self._SAMPLES]
        figures = [part for each in samples for part in (float(each._is_init), each._ibc)]
        means = [each._ewma._ewmean.__getstate__() for each in samples]
        return Memory([one._incr_cutpoint, one._decr_cutpoint, *figures], b"".join(means))

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        up, down, *figures = numbers_of(memory, 2 + 2 * len(self._SAMPLES))
        one = self._make()
        size, rest = divmod(len(memory.data), len(self._SAMPLES))
        for place, name in enumerate(self._SAMPLES):
            sample, state = getattr(one, name), memory.data[place * size : (place + 1) * size]
            if rest or not set_state(sample._ewma._ewmean, state):
                raise DamagedMemory("the weighted means of HDDM_W cannot be read")
            sample._is_init, sample._ibc = bool(figures[2 * place]), figures[2 * place + 1]
        one._incr_cutpoint, one._decr_cutpoint = up, down
        self._detector = one
