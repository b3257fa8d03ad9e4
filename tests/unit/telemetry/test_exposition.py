"""Numbers that a text of `/metrics` must be able to say."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serai.telemetry import catalogue as m
from serai.telemetry.exposition import exposition
from serai.telemetry.registry import Registry, snapshot


@pytest.mark.parametrize("lag", [math.inf, 0.25, 3.0])
def test_a_replica_that_was_never_seen_to_follow_does_not_take_the_page_down(lag: float) -> None:
    registry = Registry()
    registry.cell(m.REPLICA_LAG_SECONDS, "shard-1", "copy-1").set(lag)
    text = exposition(snapshot(registry.series, registry.values))
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "serai_replica_lag_seconds"
    ]
    assert found == lag
