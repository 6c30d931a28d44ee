"""What the status says of a pair of regions: lags and the rate of the last seconds."""

from __future__ import annotations

from lab.core.table import Tables
from lab.live.clock import Clock
from lab.live.replicator.lag_metrics import LagMetrics


class NoCloudWatch:
    """Nothing is published here."""

    async def call(self, region: str, operation: str, request: object) -> dict[str, object]:
        raise AssertionError(f"{operation} to {region}: {request}")


def metrics(times_ms: list[int]) -> LagMetrics:
    return LagMetrics(NoCloudWatch(), Clock(1.0), Tables, now_ms=lambda: times_ms[-1])


def test_the_rate_counts_every_write_of_ten_seconds_however_many_there_are() -> None:
    times_ms = [1_000_000]
    told = metrics(times_ms)
    for second in range(20):
        times_ms.append(1_000_000 + second * 1000)
        for n in range(1000):
            told.add("items", "us-east-1", "us-west-2", n % 7)
    assert told.summary("us-east-1", "us-west-2") == {"lag_p50_ms": 3, "lag_p99_ms": 6, "rate_per_s": 1000.0}


def test_a_pair_that_rests_says_a_rate_of_nothing_and_its_last_lags() -> None:
    times_ms = [1_000_000]
    told = metrics(times_ms)
    assert told.summary("us-east-1", "us-west-2") == {"lag_p50_ms": None, "lag_p99_ms": None, "rate_per_s": 0.0}
    told.add("items", "us-east-1", "us-west-2", 12)
    times_ms.append(1_009_999)
    assert told.summary("us-east-1", "us-west-2")["rate_per_s"] == 0.1
    times_ms.append(1_010_000)
    assert told.summary("us-east-1", "us-west-2") == {"lag_p50_ms": 12, "lag_p99_ms": 12, "rate_per_s": 0.0}
