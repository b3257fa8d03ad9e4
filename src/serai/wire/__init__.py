"""Every byte that crosses the network, as msgspec structs.

Owns the JSON forms of requests and answers, in the names of the wire (camelCase around rows, the
declared names inside them). Promises that unknown members are refused and that an answer encodes to
the documented form. Never holds behaviour.
"""
