"""The catalogue keeps the rules of Prometheus, never names an organisation, and is documented."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from guards.tree import source_files
from serai.telemetry import catalogue
from serai.telemetry.catalogue import CATALOGUE
from serai.telemetry.metric import Kind, Metric
from serai.telemetry.reference import metrics_page

PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
ALLOWED_LABELS = {
    "operation",
    "replica",
    "status",
    "code",
    "shard",
    "outcome",
    "result",
    "database",
    "state",
    "task",
    "version",
}
NO_BASE_UNITS = re.compile(
    r"_(ms|us|ns|milliseconds|microseconds|minutes|hours|kb|mb|kib|mib|percent)(_|$)"
)


def of(metric: Metric) -> str:
    return metric.name


@pytest.mark.parametrize("metric", CATALOGUE, ids=of)
def test_names_and_units_follow_the_rules_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", metric.name)
    assert metric.name.startswith("serai_") or metric.name in PROCESS
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not metric.name.endswith(("_bucket", "_sum", "_count"))
    assert not NO_BASE_UNITS.search(metric.name)
    if "duration" in metric.name or "wait_" in metric.name or "lag" in metric.name:
        assert "seconds" in metric.name
    if "timestamp" in metric.name:
        assert metric.name.endswith("_timestamp_seconds")


@pytest.mark.parametrize("metric", CATALOGUE, ids=of)
def test_no_metric_has_a_label_that_grows_with_customers_or_with_what_clients_send(
    metric: Metric,
) -> None:
    assert set(metric.labels) <= ALLOWED_LABELS
    assert len(metric.labels) <= 2
    assert not re.search(
        r"org|user|device|tenant|email|token", metric.name.replace("token_ref", "")
    )


@pytest.mark.parametrize("metric", CATALOGUE, ids=of)
def test_buckets_rise_and_only_histograms_have_them(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert all(a < b for a, b in pairwise(metric.buckets))
    assert len(metric.buckets) <= 16


@pytest.mark.parametrize("metric", CATALOGUE, ids=of)
def test_the_reference_page_says_what_each_metric_is_and_what_it_is_for(metric: Metric) -> None:
    row = next(r for r in metrics_page().splitlines() if r.startswith(f"| `{metric.name}` |"))
    assert metric.help in row
    assert metric.why in row
    assert all(f"`{label}`" in row for label in metric.labels)
    assert metric.help.endswith(".")
    assert "|" not in metric.help + metric.why


def test_every_metric_of_the_catalogue_is_recorded_somewhere() -> None:
    constants = {
        name: value for name, value in vars(catalogue).items() if isinstance(value, Metric)
    }
    assert {m.name for m in constants.values()} == {m.name for m in CATALOGUE}
    code = "".join(
        path.read_text("utf-8") for path in source_files(".py") if path.name != "catalogue.py"
    )
    unused = [n for n in constants if not re.search(rf"\b(m\.)?{n}\b", code)]
    assert unused == []
