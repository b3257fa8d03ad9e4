"""Traces: spans of a request, its decision, its commit and its pages.

Owns what the recorder needs of a tracer. Promises that nothing of OpenTelemetry is imported unless
traces are on (`pip install serai[otel]`, SERAI_TRACES); `serai.telemetry.otel` is what does it.
Never makes a span itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from serai.telemetry.exchange import Exchange


class TracesMissing(Exception):
    """Traces were asked for and OpenTelemetry is not installed."""


class Traces(Protocol):
    """What the recorder needs of a tracer."""

    def begin(self, exchange: Exchange) -> None:
        """Start the request's span."""
        ...

    def end(self, exchange: Exchange, status: int) -> None:
        """End the request's span; status 0 if nobody was left to answer."""
        ...

    def span(
        self, name: str, exchanges: Iterable[Exchange | None]
    ) -> AbstractContextManager[object]:
        """Return the frame of a span for the present request, or for those given."""
        ...

    def close(self) -> None:
        """Send what waits."""
        ...


def exporting(service_version: str) -> Traces:
    """Return traces that go where the standard variables say (OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and the others).

    Raises:
        TracesMissing: OpenTelemetry is not installed.
    """
    try:
        from serai.telemetry import otel  # noqa: PLC0415 - only where traces are on
    except ImportError as error:
        raise TracesMissing(
            "SERAI_TRACES is on and OpenTelemetry is not installed. "
            "Install it (pip install 'serai[otel]'), or unset SERAI_TRACES."
        ) from error
    return otel.OpenTelemetryTraces(otel.exporting_provider(service_version))
