"""Before any work: who is asking, and how much they may ask.

Owns identity (passwords, tokens, keys, grants). Promises that nothing passes without a caller:
(organisation, user, grant).
"""
