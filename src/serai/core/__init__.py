"""The vocabulary of Serai: ids, positions, tokens, errors, limits, merge, clock.

Owns the words that every other package shares. Promises to do no input or output and to import
nothing outside the standard library, so that the simulation runs exactly the code that ships.
Never knows about collections of a vertical, HTTP, or PostgreSQL.
"""
