"""What ships for tests: a small vertical, the store conformance suite, the simulation.

Owns no product code. Promises that a second implementation of a port can be held against the same
cases as ours (`store_conformance`). Never imports a real vertical, and nothing of the product
imports this package.
"""
