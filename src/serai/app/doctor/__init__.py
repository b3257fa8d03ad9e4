"""The doctor: explains an installation, a device, a token.

Owns the questions that an operator asks when something is not as it should be, and the words of the
answers. Promises that looking changes nothing, that no secret is in an answer, and that what is
wrong comes with what to do. Never mends anything.
"""
