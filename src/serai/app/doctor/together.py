"""A device from all sides: the servers, its own file, and the token in it.

Owns the order in which they are looked at. Promises one list of findings, so that what one side
says of another stands beside it. Never opens the file itself: `serai.client.look` has.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from serai.app.doctor.compare import judge_both, judge_file
from serai.app.doctor.device import DeviceReport, explain_device
from serai.app.doctor.finding import Finding, warning
from serai.app.doctor.token import TokenReport, explain_token
from serai.app.runtime import Runtime
from serai.client.look import FileReport, Look
from serai.core.token import TokenUnreadable


class Together(msgspec.Struct, frozen=True):
    """What there is; None for a side that was not given or knows nothing."""

    device: DeviceReport | None
    file: FileReport | None
    token: TokenReport | None
    findings: list[Finding]


async def explain_together(
    runtime: Runtime, org_id: int, key: str, device_id: UUID, look: Look | None
) -> Together | None:
    """Return what is known of a device; None if the servers know nothing and there is no file.

    Raises:
        SeraiError: a database does not answer.
    """
    known = await runtime.homes.followed(
        org_id, lambda _: explain_device(runtime, org_id, key, device_id)
    )
    report, findings = (None, []) if known is None else known
    if look is None:
        return None if report is None else Together(report, None, None, findings)
    file, token = look.report, None
    findings += judge_file(file)
    findings += judge_both(
        file,
        device_id,
        (org_id, key),
        None if report is None else report.user.id,
        0 if report is None else report.last_number,
    )
    if look.token is not None:
        try:
            token, judged = await explain_token(runtime, look.token)
        except TokenUnreadable as error:
            remedy = "Look for the installation that the file belongs to."
            judged = [warning("token", "opens", f"the file's token is not ours: {error}", remedy)]
        # The user of the device was judged already.
        findings += [each for each in judged if each not in findings]
    return Together(report, file, token, findings)
