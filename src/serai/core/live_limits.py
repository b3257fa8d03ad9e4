"""Bounds of live sockets.

Owns the numbers, each with its reason. The limits of everything else are in `serai.core.limits`.
"""

from __future__ import annotations

from typing import Final

LIVE_CREDIT_MAX: Final = 500
"""Frames that may be on their way to a client that has not said it has seen them."""
LIVE_CREDIT_STEP_MAX: Final = 500
"""Frames that a client may allow at once."""
LIVE_RING_CHANGES: Final = 2_000
"""Changes of an organisation that are kept for those who come back or are slow."""
LIVE_RING_BYTES: Final = 1 << 20
"""Of their text."""
LIVE_FRAME_BYTES_MAX: Final = 1 << 18
"""A frame to a client; what is larger is fetched by a pull, which can be compressed and resumed."""
LIVE_CLIENT_FRAME_BYTES_MAX: Final = 8_192
"""A message of a client: the longest is an access token."""
LIVE_HELLO_SECONDS_MAX: Final = 10.0
"""From the connection to the client's first frame, handshake included."""
LIVE_HEAD_BYTES_MAX: Final = 8_192
"""The request line and headers of a handshake."""
LIVE_USER_CONNECTIONS_MAX: Final = 10
"""Of one user in one organisation."""
LIVE_ORG_CONNECTIONS_MAX: Final = 1_000
"""Of one organisation."""
LIVE_POLL_SECONDS: Final = 1.0
"""Between two looks at all organisations that somebody listens to: the delay of a change whose
doorbell was lost.
"""
LIVE_SEND_BUFFER_BYTES: Final = 4_096
"""Asked of the kernel for each socket (Linux takes twice that): what is sent and not yet taken
should wait here, where it is counted and conflated, and not in the kernel.
"""
