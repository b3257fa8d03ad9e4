"""A device's file beside what the servers know: which side has what the other lacks.

Owns the comparison of a queue's numbers with the last one that was judged, and of whose file it is.
Pure: both sides were read before. Never says which side is right where only a person can.
"""

from __future__ import annotations

from shlex import quote
from uuid import UUID

from serai.app.doctor.finding import Finding, failed, ok, warning
from serai.client.look import FileReport


def judge_file(file: FileReport) -> list[Finding]:
    """Judge a file by itself."""
    found: list[Finding] = []
    trouble = file.trouble
    if trouble is not None:
        means = f"the last attempt failed at {trouble.at}: {trouble.message}"
        if trouble.next_at is None:
            remedy = "Mend that (sign in, update the app), then ask the client to sync."
            found.append(failed("file", "attempt", means, remedy))
        else:
            remedy = f"Nothing if the network was away: the next attempt is due {trouble.next_at}."
            found.append(warning("file", "attempt", means, remedy))
    elif file.last_sync is None:
        means = "it has never synced whole"
        found.append(warning("file", "attempt", means, "Open the app where it has network."))
    else:
        found.append(ok("file", "attempt", f"in step with the server at {file.last_sync}"))
    if file.held_back:
        means = f"{file.waiting} writes wait until the rows are fetched anew: the epoch may differ"
        found.append(warning("file", "queue", means, "Let it sync: the queue loses nothing."))
    elif file.waiting:
        oldest = file.queue[0]
        means = f"{file.waiting} writes wait, the oldest for {_age(oldest.age_seconds)}"
        found.append(warning("file", "queue", means, "Open the app where it has network."))
    else:
        found.append(ok("file", "queue", "nothing waits"))
    if file.refusals:
        means = f"{len(file.refusals)} writes were not taken by the server"
        found.append(warning("file", "refused", means, "Retry or dismiss each in the app."))
    stale = [part.name for part in file.collections if part.fill != "whole"]
    if stale:
        means = f"not whole on the device: {', '.join(stale)}"
        found.append(warning("file", "rows", means, "Wait: they fill with the next pulls."))
    return found


def judge_both(
    file: FileReport,
    device_id: UUID,
    org: tuple[int, str],
    user_id: UUID | None,
    last_number: int,
) -> list[Finding]:
    """Judge a file beside its device. `org`: number and key; `user_id`: whose mutations the device
    sends, None if the servers do not know it; `last_number`: of its last mutation that was judged.
    """
    org_id, key = org
    if file.device != device_id:
        means = f"the file is of device {file.device}"
        words = f"serai doctor device {quote(key)} {file.device} --file {quote(file.path)}"
        remedy = f"Ask for that one: {words}"
        return [failed("file", "device", means, remedy)]
    found: list[Finding] = []
    account = f"{org_id}/{user_id}"
    if user_id is not None and file.account is not None and _differs(file.account, account):
        means = f"the file is account {file.account}'s, the device sends as {account}"
        remedy = "Two installs share a device id: let one take a new id."
        found.append(failed("file", "account", means, remedy))
    first = file.queue[0].number if file.queue else file.next_number
    if last_number < first - 1:
        means = f"the server has judged up to {last_number}, and the file begins at {first}"
        remedy = "The server was restored; the client numbers its queue anew by itself."
        found.append(warning("file", "numbers", means, remedy))
    elif last_number >= file.next_number:
        means = f"the server has judged {last_number}, and the file has not made {file.next_number}"
        remedy = "The file is an old copy; the client takes a new device id by itself."
        found.append(warning("file", "numbers", means, remedy))
    elif last_number >= first:
        means = f"{last_number - first + 1} of the waiting writes are judged: answers were lost"
        found.append(ok("file", "numbers", f"{means}, and will be told again"))
    else:
        found.append(ok("file", "numbers", f"the server awaits number {last_number + 1}"))
    return found


def _differs(account: str, expected: str) -> bool:
    """Tell whether an account that names organisation and user names others. A key's holder names
    the account as they like.
    """
    org, _, user = account.partition("/")
    try:
        return bool(org.isdigit() and UUID(user)) and account != expected
    except ValueError:
        return False


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
