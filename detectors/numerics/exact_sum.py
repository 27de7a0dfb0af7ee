"""Sums of floating-point numbers without rounding: the same in any order, and exactly undone."""

from __future__ import annotations

from fractions import Fraction

import msgspec


class ExactSumState(msgspec.Struct, array_like=True, frozen=True):
    """What `ExactSum` keeps in the store: ``units * 2**exponent``, the units big-endian, signed."""

    units: bytes
    exponent: int


def dyadic(value: float) -> tuple[int, int]:
    """Return a finite number as ``(units, exponent)``: it is ``units * 2**exponent``, exactly.

    Examples
    --------
    >>> dyadic(0.75)
    (3, -2)
    """
    units, denominator = value.as_integer_ratio()
    return units, 1 - denominator.bit_length()


class ExactSum:
    """A sum held as a whole number of a power of two.

    Every finite double is such a number, so nothing is rounded before the end. A sum of doubles
    depends on its order, and a pane's must not; and a moment that cancels (a variance of large
    numbers) keeps all its digits. About a microsecond a number, and some forty bytes a sum.

    Examples
    --------
    >>> total = ExactSum()
    >>> for value in (1e16, 1.0, -1e16):
    ...     total.add(*dyadic(value))
    >>> float(total.fraction())
    1.0
    """

    __slots__ = ("exponent", "units")

    def __init__(self, units: int = 0, exponent: int = 0) -> None:
        self.units = units
        self.exponent = exponent

    def add(self, units: int, exponent: int) -> None:
        """Add ``units * 2**exponent``; negative units take away."""
        if exponent < self.exponent:
            self.units <<= self.exponent - exponent
            self.exponent = exponent
        self.units += units << (exponent - self.exponent)

    def merge(self, other: ExactSum) -> None:
        """Add what `other` holds."""
        self.add(other.units, other.exponent)

    def fraction(self) -> Fraction:
        """Return the sum as a fraction."""
        if self.exponent >= 0:
            return Fraction(self.units << self.exponent)
        return Fraction(self.units, 1 << -self.exponent)

    def state(self) -> ExactSumState:
        """Everything to go on from; equal sums give equal states."""
        if not self.units:
            return ExactSumState(b"", 0)
        zeros = (self.units & -self.units).bit_length() - 1
        units = self.units >> zeros
        return ExactSumState(
            units.to_bytes(units.bit_length() // 8 + 1, "big", signed=True), self.exponent + zeros
        )

    @classmethod
    def of_state(cls, state: ExactSumState) -> ExactSum:
        """Go on from `state`."""
        units = int.from_bytes(state.units, "big", signed=True)
        total = cls()
        total.add(units, state.exponent)
        return total
