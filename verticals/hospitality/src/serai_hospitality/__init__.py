"""The hospitality vertical: what a hotel, hostel or rental business records, declared for Serai.

It owns collections, roles, importers and views. It uses ``serai.model`` and nothing below it, and
the platform never imports it: ``serai`` finds it by name when a process starts.
"""

from serai_hospitality.vertical import VERTICAL

__version__ = "0.1.0"

__all__ = ["VERTICAL", "__version__"]
