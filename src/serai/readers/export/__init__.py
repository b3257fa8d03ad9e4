"""Export: everything of one organisation as of one moment, line by line.

Owns what is read and the form of each line. Promises that rows, refusals and the audit record are
of one snapshot of the shard, that memory is bounded by a page, and that no password, token or key
is among it: those live in the directory, of which nothing is read here. Never writes anything.
"""

from serai.readers.export.contents import FORMS, Part, Snapshot, snapshot_of
from serai.readers.export.lines import entry_line, entry_of_line

__all__ = ["FORMS", "Part", "Snapshot", "entry_line", "entry_of_line", "snapshot_of"]
