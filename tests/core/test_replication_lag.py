"""How long a replicated write is on its way."""

import random

from lab.core.replication_lag import PairLag, ReplicationLag


def round_trip_ms(source: str, target: str) -> float:
    return 80.0


def test_there_is_no_lag_unless_one_is_asked_for() -> None:
    assert ReplicationLag().lag_ms("a", "b", round_trip_ms, random.Random(1)) == 0


def test_distance_is_half_a_round_trip_and_jitter_makes_it_longer() -> None:
    lag = ReplicationLag(distance=True, jitter=0.5)
    chance = random.Random(1)
    lags = [lag.lag_ms("a", "b", round_trip_ms, chance) for _ in range(1000)]
    assert 40 <= min(lags) < 41
    assert 59 < max(lags) <= 60


def test_a_lag_set_by_hand_stands_in_the_place_of_the_distance_in_its_direction_only() -> None:
    lag = ReplicationLag(distance=True, jitter=0, pairs=(PairLag("a", "b", 900),))
    assert lag.base_ms("a", "b", round_trip_ms) == 900
    assert lag.base_ms("b", "a", round_trip_ms) == 40
