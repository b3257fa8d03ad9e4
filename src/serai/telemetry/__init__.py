"""Telemetry: what a process tells about itself: metrics, top organisations, logs, traces.

Owns the catalogue of metrics and the recorder that is passed to whoever has something to tell.
Promises that telling costs well under a hundredth of a request, takes bounded memory whatever
clients send, and never holds a body, a token, a password or an e-mail. Never decides anything: a
process does the same with a recorder that records nothing.
"""
