"""Traces by OpenTelemetry: the one module that imports it.

Owns what a span is called and what is written on it (ids and sizes, names of the semantic
conventions for HTTP). Promises that a caller's `traceparent` (W3C Trace Context) is continued, and
that parents are given by the exchange, never taken from what happens to be current. Never writes a
path as it was sent, a body, a header or an exception's message.

A transaction serves writes of several requests: its span is a child of the request if there is one
only, else a root that links to all of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serai.telemetry.exchange import CURRENT, Exchange

_FAILED: Final = 500
_LINKS_MAX: Final = 64


def exporting_provider(service_version: str) -> TracerProvider:
    """Return a provider that sends to where the standard variables say."""
    ours = Resource.create({"service.name": "serai", "service.version": service_version})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class OpenTelemetryTraces:
    """Spans by the tracer of a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("serai")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, exchange: Exchange) -> None:
        """Start the request's span."""
        given = exchange.traceparent
        carrier = {} if given is None else {"traceparent": given}
        parent = self._propagator.extract(carrier, Context())
        exchange.span = self._tracer.start_span("request", context=parent, kind=SpanKind.SERVER)

    def end(self, exchange: Exchange, status: int) -> None:
        """End the request's span; status 0 if nobody was left to answer."""
        span = exchange.span
        assert isinstance(span, Span), "begin was called"
        if span.is_recording():
            span.update_name(f"{exchange.method} {exchange.path}".strip())
            span.set_attributes(_attributes(exchange, status))
            if status >= _FAILED:
                span.set_status(StatusCode.ERROR)
        span.end()

    @contextmanager
    def span(self, name: str, exchanges: Iterable[Exchange | None]) -> Generator[None]:
        """Frame a span for the present request, or for those given."""
        known = [each for each in exchanges if each is not None] or [CURRENT.get()]
        spans = {id(e.span): e.span for e in known if e is not None}
        above = [s for s in spans.values() if isinstance(s, Span)]
        alone = len(above) == 1
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(above[0], Context()) if alone else Context(),
            links=[] if alone else [Link(s.get_span_context()) for s in above[:_LINKS_MAX]],
        )
        try:
            yield
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__qualname__)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def _attributes(exchange: Exchange, status: int) -> dict[str, str | int]:
    """Return what is written on a request's span."""
    given: dict[str, str | int | None] = {
        "http.request.method": exchange.method,
        "http.route": exchange.path or None,
        "http.response.status_code": status or None,
        "serai.request_id": exchange.id,
        "serai.operation": exchange.operation,
        "serai.org_id": exchange.org_id,
        "serai.code": exchange.code,
    }
    return {name: value for name, value in given.items() if value is not None}
