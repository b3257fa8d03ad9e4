"""The published figures, measured on the machine that asks.

Owns what `serai bench` measures: each figure through the code that ships, beside a floor of the
same run (plain PostgreSQL, plain SQLite), with the processor time of Python and of PostgreSQL kept
apart. Promises that every figure stands on a server of its own that is gone afterwards, and never
judges by itself: a target is shown beside a figure, and the reader judges.
"""
