"""HTTP: REST for every collection, the routes of sync and identity, problems, the document.

Owns everything between an ASGI server and the write path, the readers and the gate. Promises that
each request gets one whole answer, that every error is a problem document of the catalogue, and
that no request takes more memory or time than `serai.core.limits` says. Never decides what a write
does.
"""

from serai.http.app import create_app, document_of
from serai.http.services import HttpServices, HttpSettings

__all__ = ["HttpServices", "HttpSettings", "create_app", "document_of"]
