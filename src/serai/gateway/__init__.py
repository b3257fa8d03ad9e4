"""The gateway: half a million open sockets, and what goes over them.

Owns sockets and processes. The **front** takes connections, does the handshake, asks who it is,
hears doorbells and reads the log; a **table** holds the sockets of its organisations and writes to
them. Promises that an organisation is at one table, so that a change crosses to it once, is framed
once and counted once. What is told to whom is decided in `serai.readers.live`; never reads a
database from a table.
"""
