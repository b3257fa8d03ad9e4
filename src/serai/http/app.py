"""The ASGI application, put together.

Owns the one function that turns services into an application, and the one that makes the document.
Both read the same table, so what is served is what is documented. Never reads a setting from the
environment.
"""

from __future__ import annotations

from typing import Any

from serai.http.openapi import openapi_document
from serai.http.operations import Operation, Routes
from serai.http.pipeline import Pipeline
from serai.http.services import HttpServices
from serai.http.system import HEALTH, page_operations
from serai.http.table import operations
from serai.model import Vertical


def create_app(services: HttpServices) -> Pipeline:
    """Return the application that serves the vertical.

    Raises:
        ValueError: a collection has the name of a fixed path, or no example can be made for a
            field.
    """
    listed = listed_operations(services.vertical)
    pages = page_operations(services, listed) if services.settings.docs else []
    return Pipeline(Routes([*listed, *pages]), services)


def document_of(vertical: Vertical, version: str) -> dict[str, Any]:
    """Return the OpenAPI document that an application for this vertical serves."""
    return openapi_document(vertical, listed_operations(vertical), version)


def listed_operations(vertical: Vertical) -> list[Operation]:
    """Return every operation that stands in the document."""
    return [*operations(vertical), *HEALTH]
