"""River's change detectors for numbers, as :class:`detectors.change.change.ChangeDetector`.

Only this module and :mod:`detectors.change.river_binary` import river. That brings in scipy.stats,
pandas and, where it is installed, scikit-learn, and costs about 140 MB: they are imported only
where a rule asks for one of these detectors.

What a detector remembers is taken out attribute by attribute, and put back into a new one: a
pickle in a store that others can write would let them run code here. The attributes are river's
own matter, so what is stored carries river's version, and is dropped when that changes.
"""

from __future__ import annotations

import math
import struct
import warnings
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import river
from river import drift
from scipy import stats

from detectors.change.change import DamagedMemory, Memory, Shift

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RIVER_VERSION: str = river.__version__

#: Words of the state of Python's random generator, and its place in them.
_RANDOM = struct.Struct("<625I")

#: River's floor under the distance of KSWIN, whatever its p-value.
_KSWIN_DISTANCE_MIN = 0.1

_D = TypeVar("_D", bound=Any)  # river's classes have no types


class RiverDetector(Generic[_D]):
    """A detector of river's, replaced by a new one after each change, as river's reset does.

    Parameters
    ----------
    make
        Makes a new one.
    """

    def __init__(self, make: Callable[[], _D]) -> None:
        self._make = make
        self._detector = make()

    def update(self, values: Sequence[float]) -> list[Shift]:
        """Take values in; return the changes that they show."""
        found, detector = [], self._detector
        for row, value in enumerate(values):
            detector.update(value)
            if detector.drift_detected:
                found.append(self._shift(row, detector))
                detector = self._detector = self._make()
        return found

    def _shift(self, row: int, detector: _D) -> Shift:
        raise NotImplementedError


def numbers_of(memory: Memory, count: int) -> list[float]:
    """Return the numbers of a memory that must hold so many.

    Raises
    ------
    DamagedMemory
        It holds another number of them.
    """
    if len(memory.numbers) != count:
        raise DamagedMemory(f"expected {count} numbers, found {len(memory.numbers)}")
    return memory.numbers


def set_mean(mean: Any, n: float, value: float) -> None:  # noqa: ANN401 - river's, untyped
    """Make a running mean of river's what it was."""
    mean.n, mean._mean = n, value


def set_state(extension: Any, state: bytes) -> bool:  # noqa: ANN401 - as above
    """Give an object of river's extension the state that it once wrote; say whether it took it.

    The bytes are plain numbers, read by the extension itself. What it cannot read makes it panic,
    which is no `Exception`.
    """
    ours = extension.__getnewargs__()
    try:
        extension.__setstate__(state)
        return bool(extension.__getnewargs__() == ours and extension.__getstate__() == state)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return False


class Adwin(RiverDetector[Any]):
    """ADWIN, adaptive windowing (Bifet and Gavaldà, 2007): a mean that is not what it was.

    Its guarantee is for independent values in [0, 1]. `before` and `after` are the means of the
    part of its window that it drops and of the part that it keeps.
    """

    def __init__(
        self, *, delta: float, clock: int, min_window_length: int, grace_period: int
    ) -> None:
        super().__init__(
            lambda: drift.ADWIN(
                delta=delta,
                clock=clock,
                min_window_length=min_window_length,
                grace_period=grace_period,
            )
        )
        self._count, self._total = 0, 0.0

    def update(self, values: Sequence[float]) -> list[Shift]:
        """Take values in [0, 1]; return the changes that they show."""
        found, detector, start = [], self._detector, 0
        for row, value in enumerate(values):
            detector.update(value)
            if detector.drift_detected:
                self._add(values[start : row + 1])
                found.append(self._shift(row, detector))
                detector, start = self._make(), row + 1
                self._detector, self._count, self._total = detector, 0, 0.0
        self._add(values[start:])
        return found

    def _add(self, values: Sequence[float]) -> None:
        self._count += len(values)
        self._total += math.fsum(values)

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401
        dropped = self._count - detector.width
        before = (self._total - detector.total) / dropped if dropped else math.nan
        after = detector.estimation
        return Shift(row, after > before, before, after)

    def memory(self) -> Memory:
        """Return what it was given, summed up, and the buckets as the extension writes them."""
        return Memory([float(self._count), self._total], self._detector._helper.__getstate__())

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        count, total = numbers_of(memory, 2)
        detector = self._make()
        if not set_state(detector._helper, memory.data) or detector.width != count:
            raise DamagedMemory("the buckets of ADWIN cannot be read")
        self._detector, self._count, self._total = detector, int(count), total


class PageHinkley(RiverDetector[Any]):
    """The Page-Hinkley test (Page, 1954): values that stayed off their mean for long enough.

    Values are taken as standardised. `before` is the mean since it began; `after` is not known.
    """

    def __init__(self, *, delta: float, threshold: float, alpha: float, min_instances: int) -> None:
        super().__init__(
            lambda: drift.PageHinkley(
                delta=delta, threshold=threshold, alpha=alpha, min_instances=min_instances
            )
        )

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401
        rise = detector._sum_increase - detector._min_increase
        return Shift(row, rise > detector.threshold, detector._x_mean.get(), math.nan)

    def memory(self) -> Memory:
        """Return the running mean, and both sums with their extremes."""
        one = self._detector
        sums = (one._sum_increase, one._sum_decrease, one._min_increase, one._max_decrease)
        return Memory([one._x_mean.n, one._x_mean.get(), *map(float, sums)])

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        n, mean, *sums = numbers_of(memory, 6)
        one = self._detector = self._make()
        set_mean(one._x_mean, n, mean)
        one._sum_increase, one._sum_decrease, one._min_increase, one._max_decrease = sums


class Kswin(RiverDetector[Any]):
    """KSWIN (Raab and others, 2020): the last values against a draw of those before them, by KS.

    `before` and `after` are the means of what its window held before the last `stat_size` values,
    and of these. The draws follow from `seed`, so that a restart repeats them.
    """

    def __init__(self, *, alpha: float, window_size: int, stat_size: int, seed: int) -> None:
        critical = critical_steps(alpha, stat_size)
        super().__init__(
            lambda: _QuickKSWIN(
                critical, alpha=alpha, window_size=window_size, stat_size=stat_size, seed=seed
            )
        )

    def _shift(self, row: int, detector: Any) -> Shift:  # noqa: ANN401
        window, older = list(detector.window), detector.window_size - detector.stat_size
        before = math.fsum(window[:older]) / older
        after = math.fsum(window[older:]) / detector.stat_size
        return Shift(row, after > before, before, after)

    def memory(self) -> Memory:
        """Return the window, and where the draws stand."""
        one = self._detector
        return Memory([float(one.n), *one.window], _RANDOM.pack(*one._rng.getstate()[1]))

    def recall(self, memory: Memory) -> None:
        """Go on from there."""
        one = self._make()
        if not 1 <= len(memory.numbers) <= one.window_size + 1 or len(memory.data) != _RANDOM.size:
            raise DamagedMemory("the window of KSWIN cannot be read")
        version, _, after = one._rng.getstate()
        try:
            one._rng.setstate((version, _RANDOM.unpack(memory.data), after))
        except ValueError as error:
            raise DamagedMemory(f"the draws of KSWIN cannot be read: {error}") from error
        one.n = int(memory.numbers[0])
        one.window.extend(memory.numbers[1:])
        self._detector = one


class _QuickKSWIN(drift.KSWIN):  # type: ignore[misc]  # river's classes have no types
    """River's KSWIN with the same alarms at the same values, several times faster.

    Between two samples of one size the p-value follows from the distance alone. So the smallest
    distance that alarms is looked up once, instead of a p-value for every value.
    """

    def __init__(self, critical: int | None, **asked: Any) -> None:  # noqa: ANN401 - river's
        self._critical = critical
        super().__init__(**asked)

    def update(self, x: float) -> None:
        """Add a value, and compare."""
        self.n += 1
        self.window.append(x)
        if len(self.window) < self.window_size:
            return
        window, older = list(self.window), self.window_size - self.stat_size
        drawn = [window[place] for place in self._rng.sample(range(older), self.stat_size)]
        if self._critical is not None:
            self._drift_detected = _steps_apart(drawn, window[older:]) >= self._critical


def _steps_apart(one: list[float], other: list[float]) -> int:
    """Two-sample KS distance of two lists of one length, times that length.

    Examples
    --------
    >>> _steps_apart([1.0, 2.0], [2.0, 3.0]), _steps_apart([1.0, 1.0], [2.0, 3.0])
    (1, 2)
    """
    one.sort()
    other.sort()
    size, largest, i, j = len(one), 0, 0, 0
    while i < size and j < size:
        value = min(one[i], other[j])
        while i < size and one[i] == value:
            i += 1
        while j < size and other[j] == value:
            j += 1
        largest = max(largest, abs(i - j))
    return largest


def critical_steps(alpha: float, size: int) -> int | None:
    """Fewest steps of `1 / size` by which two samples of that size differ to river's KSWIN.

    That is: p <= `alpha` by the test that it makes, and a distance above 0.1. None if no distance
    is enough.
    """

    def alarms(steps: int) -> bool:
        one = [float(number) for number in range(size)]
        other = [number + steps - 0.5 for number in one]
        with warnings.catch_warnings():
            # Where its exact law fails it takes the asymptotic one and says so, to river as well.
            warnings.simplefilter("ignore", category=RuntimeWarning)
            distance, p = stats.ks_2samp(one, other, method="auto")
        return bool(p <= alpha and distance > _KSWIN_DISTANCE_MIN)

    steps = 1 + bisect_left(range(1, size + 1), 1, key=alarms)
    return steps if steps <= size else None
