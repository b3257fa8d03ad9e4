"""Live: pushes an organisation's changes to those who listen.

Owns what is sent to whom. Promises that frames name the versions that they lead from and to, so a
gap is always seen (I8); that a frame holds whole versions (I9) and nothing outside the listener's
channels (I6); that a listener who is slow or comes back gets the last state of each row, once, or
is told to pull. Correctness never rests on it: a client that hears nothing pulls. Pure: never
touches a socket, a clock or a database.
"""
