"""The outlet: copies every organisation's changes to a bus, at least once, in order for each.

Owns how far each organisation was handed over. Promises that what is noted as sent was accepted by
the bus, version after version, before it was noted: a process that is killed sends some messages
again, under the same ids, and leaves none out. Never is on the path of a write, never keeps the log
from being folded or pruned, and never takes anything away because the bus said something.
"""
