"""What a CloudWatch alarm's data says of a CLOUDWATCH_METRIC health check: the data stream, never the alarm's state.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
Simplified: the newest `evaluation_periods` data points of the last few periods decide; M out of N, metric math and
percentiles are not supported by Route 53 either and count as insufficient data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

STATISTICS = ("Average", "Minimum", "Maximum", "Sum", "SampleCount")
SPARE_PERIODS = 2
"""How many periods more than it needs an evaluation looks back, for data that comes late."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True)
class Alarm:
    """The part of an alarm's configuration that a health check copies. `period_s` is in seconds."""

    namespace: str
    metric_name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int
    evaluation_periods: int
    threshold: float
    comparison: str
    datapoints_to_alarm: int | None = None

    @property
    def supported(self) -> bool:
        """Whether Route 53 can evaluate it."""
        m_of_n = self.datapoints_to_alarm not in (None, self.evaluation_periods)
        return self.statistic in STATISTICS and self.comparison in _COMPARISONS and not m_of_n

    @property
    def window_s(self) -> int:
        """How far back data is needed, in seconds."""
        return self.period_s * (self.evaluation_periods + SPARE_PERIODS)


def alarm_status(alarm: Alarm, datapoints: Mapping[int, float]) -> bool | None:
    """Healthy (True) unless the newest data points all breach the threshold; None if there are too few to say.

    `datapoints` maps the start of each period, in seconds since the epoch, to the statistic's value.
    """
    if not alarm.supported:
        return None
    newest = sorted(datapoints)[-alarm.evaluation_periods :]
    breaches = _COMPARISONS[alarm.comparison]
    breaching = [breaches(datapoints[when], alarm.threshold) for when in newest]
    if not all(breaching):
        return True
    return False if len(breaching) == alarm.evaluation_periods else None
