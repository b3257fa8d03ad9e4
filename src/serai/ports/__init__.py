"""Small protocols; each docstring states the guarantee an implementation must give.

Owns the seams where an implementation may be exchanged: today the store of organisations. Promises
no behaviour of its own: the conformance suite of `serai.testing` holds every implementation to the
    docstrings. Never imports an implementation.
"""
