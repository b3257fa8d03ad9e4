"""Implementations of the ports, chosen by URL scheme.

Owns what may be exchanged. Promises what each port's docstring says. Only `serai.app` and
`serai.testing` name an adapter.
"""
