"""What a change must satisfy beside types and constraints: closed days, workflows, limits, grants.

Owns pure functions of the rows they read and the change asked for. A rule never does input or
output and keeps no state, so it may run any number of times; every row it rests on is in the read
set of the write, so a decision that no longer holds is taken again.
"""
