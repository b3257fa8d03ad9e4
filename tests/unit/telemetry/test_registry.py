"""Numbers of a process: counted, bounded, merged with those of others, read by Prometheus."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serai.telemetry import catalogue as m
from serai.telemetry.exposition import exposition
from serai.telemetry.registry import Registry, Snapshot, lasting, merge, snapshot


def shot(registry: Registry) -> Snapshot:
    return snapshot(registry.series, registry.values)


def read(numbers: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples as Prometheus's own parser reads them."""
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    families: Any = text_string_to_metric_families(exposition(numbers))
    for family in families:
        for sample in family.samples:
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def test_what_is_counted_is_what_prometheus_reads() -> None:
    registry = Registry()
    registry.cell(m.REQUESTS, "getStays", "2xx").add()
    registry.cell(m.REQUESTS, "getStays", "2xx").add(2)
    registry.cell(m.REQUESTS, "getStays", "4xx").add()
    registry.cell(m.LOOP_LAG).set(0.25)
    samples = read(shot(registry))
    name = "serai_http_requests_total"
    assert samples[name, (("operation", "getStays"), ("status", "2xx"))] == 3
    assert samples[name, (("operation", "getStays"), ("status", "4xx"))] == 1
    assert samples["serai_event_loop_lag_seconds", ()] == 0.25


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, "1"), (1.0, "1"), (1.5, "2"), (64.0, "64"), (65.0, "+Inf")]
)
def test_a_value_on_a_bound_is_in_its_bucket(value: float, bucket: str) -> None:
    registry = Registry()
    registry.spread(m.BATCH_WRITES).observe(value)
    samples = read(shot(registry))
    bounds = ["1", "2", "4", "8", "16", "32", "64", "+Inf"]
    counts = [samples["serai_write_batch_writes_bucket", (("le", b),)] for b in _floats(bounds)]
    first = bounds.index(bucket)
    assert counts == [0.0] * first + [1.0] * (8 - first)
    assert samples["serai_write_batch_writes_sum", ()] == value
    assert samples["serai_write_batch_writes_count", ()] == 1


def _floats(bounds: list[str]) -> list[str]:
    """Spell bounds as the parser canonicalises them, whichever way that is."""
    registry = Registry()
    registry.spread(m.BATCH_WRITES)
    spelled = [k[1][0][1] for k in read(shot(registry)) if k[0].endswith("_bucket")]
    return sorted(spelled, key=lambda b: bounds.index(re.sub(r"\.0$", "", b)))


def test_a_label_with_quotes_and_line_ends_comes_through() -> None:
    registry = Registry()
    registry.cell(m.BUILD, 'a"b\\c\nd').set(1)
    assert read(shot(registry)) == {
        ("serai_metric_series_refused_total", ()): 0,
        ("serai_build_info", (("version", 'a"b\\c\nd'),)): 1,
    }


def test_series_are_bounded_and_what_is_lost_is_counted() -> None:
    registry = Registry(series_max=3)
    for code in ("one", "two", "three", "four"):
        registry.cell(m.ERRORS, code).add()
    registry.spread(m.REQUEST_SECONDS, "list").observe(1)
    samples = read(shot(registry))
    assert samples == {
        ("serai_metric_series_refused_total", ()): 3,
        ("serai_errors_total", (("code", "one"),)): 1,
        ("serai_errors_total", (("code", "two"),)): 1,
    }


def test_several_processes_are_one() -> None:
    one, other = Registry(), Registry()
    for registry, amount in ((one, 2.0), (other, 5.0)):
        registry.cell(m.ROWS_WRITTEN).add(amount)
        registry.cell(m.LOOP_LAG).set(amount)
        registry.cell(m.MAX_FDS).set(amount)
        registry.cell(m.PROCESSES).set(1)
        registry.spread(m.PULL_CHANGES).observe(amount)
    other.cell(m.ERRORS, "rule").add()
    together: Snapshot = {}
    merge(together, shot(one))
    merge(together, shot(other))
    samples = read(together)
    assert samples["serai_rows_written_total", ()] == 7
    assert samples["serai_event_loop_lag_seconds", ()] == 5  # the worst
    assert samples["process_max_fds", ()] == 2  # the least
    assert samples["serai_processes", ()] == 2
    assert samples["serai_sync_page_changes_sum", ()] == 7
    assert samples["serai_sync_page_changes_count", ()] == 2
    assert samples["serai_errors_total", (("code", "rule"),)] == 1


def test_merging_leaves_the_parts_as_they_were() -> None:
    one, other = Registry(), Registry()
    one.cell(m.ROWS_WRITTEN).add(1)
    other.cell(m.ROWS_WRITTEN).add(1)
    first = shot(one)
    together: Snapshot = {}
    merge(together, first)
    merge(together, shot(other))
    assert first["serai_rows_written_total", ()] == [1]


def test_a_successor_counts_on_and_does_not_inherit_states() -> None:
    before = Registry()
    before.cell(m.ROWS_WRITTEN).add(4)
    before.cell(m.PROCESSES).set(1)
    before.spread(m.PULL_CHANGES).observe(10)
    after = Registry()
    after.load(lasting(shot(before)))
    after.cell(m.ROWS_WRITTEN).add(1)
    after.spread(m.PULL_CHANGES).observe(100)
    samples = read(shot(after))
    assert samples["serai_rows_written_total", ()] == 5
    assert samples["serai_sync_page_changes_sum", ()] == 110
    assert samples["serai_sync_page_changes_count", ()] == 2
    assert ("serai_processes", ()) not in samples
