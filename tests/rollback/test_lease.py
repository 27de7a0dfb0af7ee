"""Two never may act at once, however their clocks run and whenever they are stopped."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollback.lease import Claim, LeaseTimes, Tenure, Waiting

TIMES = LeaseTimes(duration_s=15, renew_deadline_s=10, retry_s=2)


@dataclass
class Register:
    """What both read and write: a write says which one it replaces."""

    holder: str = ""
    writes: int = 0

    @property
    def claim(self) -> Claim:
        return Claim(self.holder, str(self.writes))

    def replace(self, read: Claim, holder: str) -> bool:
        if read != self.claim:
            return False
        self.holder, self.writes = holder, self.writes + 1
        return True


@dataclass
class Process:
    """One of the two: a step begins with a look, and ends with a write, any time later."""

    name: str
    rate: float
    now: float = 0.0
    waiting: Waiting = field(default_factory=Waiting)
    tenure: Tenure | None = None
    begun: tuple[float, Claim] | None = None

    def step(self, register: Register) -> None:
        if self.begun is not None:
            began, read = self.begun
            self.begun = None
            if register.replace(read, self.name):
                self.tenure = Tenure(TIMES, began)
            return
        claim = register.claim
        self.waiting = self.waiting.saw(claim, self.now)
        if claim.holder == self.name or self.waiting.may_take(TIMES, self.now):
            self.begun = (self.now, claim)

    def may_act(self) -> bool:
        return self.tenure is not None and self.tenure.allows(0.0, self.now)


@given(
    rates=st.tuples(*[st.floats(1.0, TIMES.skew_allowed * 0.99)] * 2),
    steps=st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(0, 1)), max_size=60),
)
def test_at_most_one_of_two_may_act(
    rates: tuple[float, float], steps: list[tuple[float, int]]
) -> None:
    register = Register()
    both = [Process("a", rates[0]), Process("b", rates[1])]

    for passes_s, which in steps:
        for one in both:
            one.now += passes_s * one.rate
        both[which].step(register)

        assert [one.may_act() for one in both].count(True) <= 1


@given(call_s=st.floats(0.0, TIMES.call_max_s), late_s=st.floats(0.0, 1.2 * TIMES.retry_s))
def test_a_holder_that_renews_in_time_may_always_begin_a_call(call_s: float, late_s: float) -> None:
    tenure = Tenure(TIMES, 100.0)

    assert tenure.allows(call_s, 100.0 + late_s)


@given(call_s=st.floats(0.0, 60.0), after_s=st.floats(0.0, 60.0))
def test_a_call_that_may_begin_ends_within_the_lease(call_s: float, after_s: float) -> None:
    tenure = Tenure(TIMES, 100.0)

    if tenure.allows(call_s, 100.0 + after_s):
        assert after_s + call_s < TIMES.duration_s


def test_a_claim_is_free_when_it_stood_for_its_whole_duration_and_not_before() -> None:
    waiting = Waiting().saw(Claim("a", "7"), 50.0).saw(Claim("a", "7"), 64.9)

    assert not waiting.may_take(TIMES, 64.9)
    assert waiting.may_take(TIMES, 65.0)


def test_a_renewed_claim_is_waited_for_anew() -> None:
    waiting = Waiting().saw(Claim("a", "7"), 50.0).saw(Claim("a", "8"), 64.0)

    assert not waiting.may_take(TIMES, 65.0)
    assert waiting.may_take(TIMES, 79.0)


def test_a_claim_that_was_given_up_is_free_at_once() -> None:
    assert Waiting().saw(Claim("", "9"), 50.0).may_take(TIMES, 50.0)


def test_what_was_never_seen_is_not_free() -> None:
    assert not Waiting().may_take(TIMES, 1e9)


@pytest.mark.parametrize(
    "times", [(10, 10, 2), (15, 2.4, 2), (15, 10, 0)], ids=["no gap", "no second try", "no pause"]
)
def test_times_that_could_not_be_kept_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected more than"):
        LeaseTimes(*times)
