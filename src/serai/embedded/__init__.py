"""The servers that come with Serai as wheels, so that `serai dev` needs nothing installed: start,
wait, stop.

Owns processes and the folders they write. Promises that a server it started never outlives the
process that asked for it, and that a folder chosen by the user is served by one server at a time.
Never used in production, where operators run these servers themselves.
"""
