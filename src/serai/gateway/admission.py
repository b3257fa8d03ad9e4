"""What a listener is admitted to: of what it may hear, what it asks for.

Owns the meaning of a first frame. Promises that nobody is admitted to a channel outside their
grant, and that a device which must pull first is told so. Pure.
"""

from __future__ import annotations

from serai.core import channels
from serai.core.channels import ChannelSet
from serai.core.errors import Code, SeraiError
from serai.core.live_limits import LIVE_CREDIT_MAX
from serai.core.token import SinceToken
from serai.gate.caller import Caller
from serai.gateway.messages import Admitted
from serai.wire.live import Hello, PullReason


def admission(
    caller: Caller, hello: Hello, token: SinceToken | None, epoch: int, expires_at: int | None
) -> Admitted:
    """Return what the table of the organisation is told of a listener.

    Args:
        token: what the device holds; None: nothing that counts.
        epoch: of the organisation now.
        expires_at: seconds since 1970; None: never.

    Raises:
        SeraiError: see `wanted`.
    """
    heard = wanted(caller, hello)
    return Admitted(
        org_id=caller.org_id,
        user_id=caller.user_id,
        session_id=caller.device_id or caller.user_id,
        channels=list(heard.items()),
        complete=None if token is None else list(token.complete.items()),
        epoch=epoch if token is None else token.position.epoch,
        version=None if token is None else token.position.version,
        pull=None if token is None else _must_pull(token, heard, caller.grant.channels),
        grants_version=None if caller.machine else caller.grant.version,
        expires_at=expires_at,
        credit=hello.credit,
    )


def wanted(caller: Caller, hello: Hello) -> ChannelSet:
    """Return the channels that are heard: of the grant, what is asked for.

    Raises:
        SeraiError: `not_found` for a collection that there is not, `body_invalid` for a credit out
            of bounds.
    """
    if not 0 <= hello.credit <= LIVE_CREDIT_MAX:
        raise SeraiError(Code.BODY_INVALID, f"credit is 0 to {LIVE_CREDIT_MAX} frames.")
    every = caller.vertical.by_name
    mask = 0
    for name in every if hello.collections is None else hello.collections:
        if name not in every:
            raise SeraiError(Code.NOT_FOUND, f"There is no collection {name!r}.")
        mask |= 1 << every[name].number
    return channels.restrict(caller.grant.channels, mask, hello.property_ids)


def _must_pull(token: SinceToken, heard: ChannelSet, granted: ChannelSet) -> PullReason | None:
    """Return why a device cannot be told changes before it has pulled."""
    if token.filling:
        return "filling"
    if channels.gained(token.complete, heard) or channels.lost(token.complete, granted):
        return "grants"
    return None
