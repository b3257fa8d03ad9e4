"""Readers of the log. Each may be killed at any moment and goes on from the number that it has
seen.

Owns nothing in common but that promise; readers do not know one another, and none is on the write
path.
"""
