"""The application: settings, wiring, the processes.

Owns how the parts become programs, and is the only place besides `testing` that names adapters.
Promises that everything is built from one settings struct. Never holds logic of a request.
"""
