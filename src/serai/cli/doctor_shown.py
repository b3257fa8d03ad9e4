"""How the doctor's answers look: facts, short tables, then what is wrong and what to do.

Owns the layout. Promises that a text which came from a file or a database moves no cursor and
colours nothing: what is not printable is shown as a question mark. Never decides what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from serai.app.doctor.device import DeviceReport
from serai.app.doctor.finding import Finding, State, is_well
from serai.app.doctor.token import TokenReport
from serai.cli.run import print_json
from serai.client.look import FileReport

Report = DeviceReport | TokenReport | FileReport
_ROWS_MAX = 10


def tell(
    reports: Mapping[str, Report | None], findings: Sequence[Finding], *, as_json: bool
) -> int:
    """Print the reports and the findings; return the command's status."""
    well = is_well(findings)
    if as_json:
        parts = {name: msgspec.to_builtins(report) for name, report in reports.items()}
        print_json({"ok": well, **parts, "findings": msgspec.to_builtins(findings)})
        return 0 if well else 1
    for report in reports.values():
        match report:
            case DeviceReport():
                _device(report)
            case TokenReport():
                _token(report)
            case FileReport():
                _file(report)
            case None:
                pass
    _findings(findings)
    return 0 if well else 1


def _findings(findings: Iterable[Finding]) -> None:
    for each in findings:
        end = "" if each.state is State.OK else f". {each.remedy}"
        _say(f"{each.state.value:<7}  {each.place:<9} {each.check:<17} {each.means}{end}")


def _device(report: DeviceReport) -> None:
    name = f" ({report.name})" if report.name else ""
    _say(f"device   {report.device_id}{name} of {report.user.name or report.user.id}")
    _say(f"sent     up to mutation {report.last_number}, {report.refused} not applied")
    _table(
        ("number", "outcome", "code", "collection", "at", "reason"),
        [
            (r.number, r.outcome, r.code, r.collection, r.at[:19], r.reason or r.meaning)
            for r in report.refusals
        ],
    )
    _table(
        ("session", "last used", "since", "ended by"),
        [
            (s.state, s.last_used_at[:19], s.created_at[:19], s.reason or "-")
            for s in report.sessions
        ],
    )


def _token(report: TokenReport) -> None:
    _say(f"token    of {report.user.name or report.user.id} in {report.org}, and of nobody else")
    _say(f"at       version {report.version} of epoch {report.epoch}")
    _say(f"head     version {report.org_version} of epoch {report.org_epoch}")
    more = "+" if report.changes_are_at_least else ""
    _table(
        ("collection", "state", "properties", "versions behind", "changes to bring"),
        [
            (
                c.name,
                c.state,
                "all" if c.properties is None else c.properties,
                report.versions_behind,
                f"{c.changes}{more}",
            )
            for c in report.collections
        ],
    )


def _file(report: FileReport) -> None:
    _say(f"file     {report.path} of account {report.account or '-'}, device {report.device}")
    _say(f"state    {report.state}, last sync {report.last_sync or 'never'}")
    _say(f"at       version {report.version} of epoch {report.epoch}")
    _table(("collection", "rows", "state"), [(p.name, p.rows, p.fill) for p in report.collections])
    _table(
        ("number", "collection", "op", "waits", "sent", "row"),
        [
            (
                w.number,
                w.collection,
                w.op,
                f"{w.age_seconds} s",
                "yes" if w.sent else "no",
                w.row_id,
            )
            for w in report.queue
        ],
    )
    _table(
        ("refused", "collection", "op", "code", "at", "reason"),
        [(r.outcome, r.collection, r.op, r.code, r.at[:19], r.reason) for r in report.refusals],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print some rows in columns; nothing if there is none."""
    if not rows:
        return
    texts = [[*head], *([str(cell) for cell in row] for row in rows[:_ROWS_MAX])]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    for row in texts:
        _say("  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip())
    if len(rows) > _ROWS_MAX:
        _say(f"  and {len(rows) - _ROWS_MAX} more (all with --json)")


def _say(line: str) -> None:
    print("".join(c if c.isprintable() else "?" for c in line))
