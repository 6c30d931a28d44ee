"""Faults begin and are lifted; a clock that was off is remembered."""

from lab.core.faults import Fault, FaultSet, PastSkew


def test_a_regions_clock_is_off_while_the_fault_is_in_force_and_later_for_the_writes_of_then() -> None:
    skew = Fault("fault-1", "clock_skew", 1000, region="us-east-1", skew_ms=-200)
    other = Fault("fault-2", "down", 1000, region="us-west-2")
    faults = FaultSet().begun(skew).begun(other)
    assert [faults.skew_ms("us-east-1", ms) for ms in (999, 1000, 5000)] == [0, -200, -200]
    assert faults.skew_ms("us-west-2", 2000) == 0
    lifted = faults.lifted([skew], 3000)
    assert lifted.faults == (other,)
    assert [lifted.skew_ms("us-east-1", ms) for ms in (999, 1000, 2999, 3000)] == [0, -200, -200, 0]


def test_skews_that_overlap_add_up() -> None:
    past = (PastSkew("us-east-1", 100, 0, 2000), PastSkew("us-east-1", 20, 1000, 3000))
    faults = FaultSet((Fault("f", "clock_skew", 1500, region="us-east-1", skew_ms=3),), past)
    assert [faults.skew_ms("us-east-1", ms) for ms in (0, 1000, 1500, 2000, 3000)] == [100, 120, 123, 23, 3]
