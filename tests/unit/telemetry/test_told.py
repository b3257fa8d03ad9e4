"""The recorder: what is told becomes numbers, lines and spans, from small sets of labels."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serai.core.clock import SystemClock
from serai.telemetry.exchange import CURRENT, Exchange
from serai.telemetry.logs import LineWriter, as_json
from serai.telemetry.otel import OpenTelemetryTraces
from serai.telemetry.recorder import SILENT
from serai.telemetry.registry import Registry, snapshot
from serai.telemetry.told import Told
from serai.telemetry.top import TopOrganisations, merged

USER = UUID("01890000-0000-7000-8000-000000000001")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Watched:
    """A recorder, and what has become of what it was told."""

    def __init__(self, level: str = "info") -> None:
        self.registry, self.top = Registry(), TopOrganisations(now=0.0)
        self.written = bytearray()
        self.writer = LineWriter(self.written.extend)
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.told = Told(
            self.registry,
            self.top,
            SystemClock(),
            lines=(self.writer, as_json),
            level=level,
            traces=OpenTelemetryTraces(provider),
        )

    def number(self, name: str, *labels: str) -> float:
        return snapshot(self.registry.series, self.registry.values)[name, labels][0]

    def lines(self) -> list[dict[str, Any]]:
        self.writer.close()
        return [json.loads(each) for each in self.written.splitlines()]

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def request(self, status: int = 200, sent: int = 30, **more: Any) -> Exchange:
        made = Exchange(id="r-1", method="GET", operation="getStays", path="/v1/stays/{id}", **more)
        made.start()
        self.told.begin(made)
        self.told.end(made, status, sent)
        return made


@pytest.mark.parametrize(
    ("status", "label"), [(200, "2xx"), (304, "3xx"), (422, "4xx"), (503, "5xx"), (0, "gone")]
)
def test_a_request_counts_under_its_operation_and_class_of_status(status: int, label: str) -> None:
    watched = Watched()
    watched.request(status)
    assert watched.number("serai_http_requests_total", "getStays", label) == 1
    assert watched.number("serai_http_requests_in_flight") == 0
    [line] = watched.lines()
    assert (line["status"], line["operation"]) == (status, "getStays")


def test_an_organisation_is_on_the_page_of_top_organisations_and_in_no_label() -> None:
    watched = Watched()
    watched.request(org_id=987654, body_bytes=70)
    watched.told.write("committed", 987654, 3, 0.001)
    watched.told.write("stale", 987654, 9, 0.001)
    page: Any = merged([watched.top.state()], 10)
    assert page["requests"]["organisations"] == [{"org_id": 987654, "at_least": 1}]
    assert page["bytes"]["organisations"] == [{"org_id": 987654, "at_least": 100}]
    assert page["rows"]["organisations"] == [{"org_id": 987654, "at_least": 3}]
    assert watched.number("serai_rows_written_total") == 3
    assert not [labels for _, labels, _ in watched.registry.series if "987654" in labels]


def test_an_error_counts_by_its_code() -> None:
    watched = Watched()
    watched.request(422, code="rule")
    assert watched.number("serai_errors_total", "rule") == 1


def test_a_level_silences_what_is_below_it() -> None:
    watched = Watched(level="warning")
    watched.request(200)
    watched.request(500)
    assert [line["status"] for line in watched.lines()] == [500]


def test_a_verticals_own_codes_make_one_label() -> None:
    watched = Watched()
    for code in ("day_closed", "anything_at_all", "not_unique"):
        watched.told.pushed("rejected", code, replayed=False)
    watched.told.pushed("rejected", "day_closed", replayed=True)
    watched.told.pushed("applied", None, replayed=False)
    assert watched.number("serai_sync_refusals_total", "vertical") == 2
    assert watched.number("serai_sync_refusals_total", "not_unique") == 1
    assert watched.number("serai_sync_mutations_total", "rejected") == 3
    assert watched.number("serai_sync_mutations_total", "replayed") == 1
    assert watched.number("serai_sync_mutations_total", "applied") == 1


def test_sign_ins_refreshes_pages_and_upkeep_are_counted() -> None:
    watched = Watched()
    told = watched.told
    told.signed_in("ok")
    told.signed_in("credentials")
    told.refreshed("refresh_reused")
    told.pulled("changes", 40)
    told.pulled("unchanged", 0)
    told.upkeep("partitions", done=True)
    told.upkeep("partitions", done=False)
    assert watched.number("serai_sign_ins_total", "credentials") == 1
    assert watched.number("serai_token_refreshes_total", "refresh_reused") == 1
    assert watched.number("serai_sync_pulls_total", "unchanged") == 1
    assert watched.number("serai_sync_page_changes") == 40
    assert watched.number("serai_upkeep_runs_total", "partitions", "ok") == 1
    assert watched.number("serai_upkeep_runs_total", "partitions", "failed") == 1
    assert watched.number("serai_upkeep_last_success_timestamp_seconds", "partitions") > 1.7e9


def test_upkeep_of_logs_and_of_moves_is_counted() -> None:
    watched = Watched()
    told = watched.told
    told.log_looked(7, 5, 1_000, 2)
    told.log_looked(1, 0, 0, 0)
    told.log_look_failed()
    told.logs_passed()
    told.logs_wait("shard-1", 31.5)
    told.moves_left(3)
    told.moves_ended(1, 2, 0, 9)
    told.moves_left(0)
    assert watched.number("serai_log_folded_changes_total") == 8
    assert watched.number("serai_log_pruned_changes_total") == 5
    assert watched.number("serai_segment_sealed_rows_total") == 1_000
    assert watched.number("serai_segment_sealed_blocks_total") == 2
    assert watched.number("serai_log_looks_total", "ok") == 2
    assert watched.number("serai_log_looks_total", "failed") == 1
    assert watched.number("serai_log_passes_total") == 1
    assert watched.number("serai_log_upkeep_wait_seconds", "shard-1") == 31.5
    assert watched.number("serai_moves_left") == 0
    assert watched.number("serai_moves_ended_total", "undone") == 2
    assert watched.number("serai_moves_ended_total", "swept") == 9


def test_a_failed_transaction_is_logged_with_its_requests_and_without_the_errors_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    exchanges = [Exchange("r-1"), Exchange("r-2"), Exchange("r-1")]
    watched.told.batch_failed(3, ValueError("Key (name)=(Anna)"), exchanges)
    assert watched.number("serai_write_batches_failed_total") == 1
    [record] = caplog.records
    assert record.getMessage() == "a transaction of 3 writes failed: ValueError"
    assert record.__dict__["request_ids"] == ["r-1", "r-2"]


# ------------------------------------------------------------------ traces


def test_a_callers_trace_is_continued() -> None:
    watched = Watched()
    watched.request(422, traceparent=PARENT, org_id=7, user_id=USER, code="rule")
    span = watched.spans()["GET /v1/stays/{id}"]
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.route": "/v1/stays/{id}",
        "http.response.status_code": 422,
        "serai.request_id": "r-1",
        "serai.operation": "getStays",
        "serai.org_id": 7,
        "serai.code": "rule",
    }


@pytest.mark.parametrize("given", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_trace_that_cannot_be_read_begins_a_new_one(given: str | None) -> None:
    watched = Watched()
    watched.request(200, traceparent=given)
    assert watched.spans()["GET /v1/stays/{id}"].parent is None


def test_work_for_one_request_is_below_it_and_work_for_several_links_to_them() -> None:
    watched = Watched()
    one, other = Exchange("r-1"), Exchange("r-2")
    for each in (one, other):
        watched.told.begin(each)
    token = CURRENT.set(one)
    with watched.told.span("serai.pull"):
        pass
    CURRENT.reset(token)
    with watched.told.span("serai.decide", [one, None, one]):
        pass
    with watched.told.span("serai.commit", [one, other, None]):
        pass
    with watched.told.span("serai.background"):
        pass
    watched.told.end(one, 200, 0)
    watched.told.end(other, 200, 0)
    spans = watched.spans()
    above: Any = one.span
    beside: Any = other.span
    assert spans["serai.pull"].parent.span_id == above.get_span_context().span_id
    assert spans["serai.decide"].parent.span_id == above.get_span_context().span_id
    assert spans["serai.commit"].parent is None
    assert [link.context.span_id for link in spans["serai.commit"].links] == [
        above.get_span_context().span_id,
        beside.get_span_context().span_id,
    ]
    assert spans["serai.background"].parent is None


def test_a_failure_is_on_the_span_without_its_words() -> None:
    watched = Watched()
    with (
        pytest.raises(ValueError, match="Anna"),
        watched.told.span("serai.commit", [Exchange("r-1")]),
    ):
        raise ValueError("Key (name)=(Anna)")
    span = watched.spans()["serai.commit"]
    assert span.status.status_code.name == "ERROR"
    assert span.status.description == "ValueError"
    assert list(span.events) == []


def test_a_recorder_that_records_nothing_takes_everything() -> None:
    SILENT.begin(Exchange())
    SILENT.end(Exchange(), 200, 1)
    with SILENT.span("x"), SILENT.span("y"):
        SILENT.write("committed", 1, 1, 0.0)
    SILENT.batch_failed(1, ValueError(), [])
    SILENT.pushed("applied", None, replayed=False)
    SILENT.upkeep("sessions", done=True)
