"""A server in memory that keeps the contract of `protocol/SPEC.md`, written by hand for the
client's tests.

Owns an organisation: rows, log, epoch, devices. It shares no code with the server that ships:
tokens are plain JSON, and channels are plain lists. Never fails by itself: faults are the
transport's (`fake_transport.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from serai.core.errors import Code, SeraiError
from serai.wire.sync import ChangesRequest, Mutation, MutationsRequest

HOTEL = UUID("00000000-0000-7000-8000-00000000000a")
HOSTEL = UUID("00000000-0000-7000-8000-00000000000b")
NOBODY_PROPERTY = ""
Doc = dict[str, Any]
Channel = tuple[str, str]


@dataclass
class Live:
    """A row that exists, with the version of each field's last change."""

    version: int
    created: int
    data: Doc
    fields: dict[str, int]


@dataclass
class Device:
    """What the server knows of a device: the next number, and its replies."""

    next_number: int = 1
    replies: dict[int, tuple[Any, Doc]] = field(default_factory=dict)


class FakeServer:
    """One organisation. `visible` are the properties that the caller may see."""

    def __init__(self) -> None:
        self.epoch, self.version, self.floor = 1, 0, 0
        self.rows: dict[tuple[str, str], Live] = {}
        self.log: list[tuple[int, str, str, str, Doc]] = []
        self.devices: dict[UUID, Device] = {}
        self.visible = {str(HOTEL), str(HOSTEL)}
        self.applied: list[tuple[UUID, int]] = []
        self.pulls: list[ChangesRequest] = []
        self.pushes: list[MutationsRequest] = []

    # What other people do

    def write(self, *changes: tuple[str, UUID, Doc | None]) -> int:
        """Change rows in one transaction: (collection, id, fields or None for a delete)."""
        self.version += 1
        for collection, row_id, fields in changes:
            self._change(collection, str(row_id), fields)
        return self.version

    def _change(self, collection: str, row_id: str, fields: Doc | None) -> None:
        key = (collection, row_id)
        live = self.rows.get(key)
        if fields is None:
            assert live is not None
            del self.rows[key]
            self.log.append((self.version, collection, row_id, "delete", live.data))
            return
        if live is None:
            live = Live(self.version, self.version, {}, {})
        changed = [n for n, v in fields.items() if n not in live.data or live.data[n] != v]
        versions = {**live.fields, **dict.fromkeys(changed, self.version)}
        data = {**live.data, **fields}
        self.rows[key] = Live(self.version, live.created, data, versions)
        self.log.append((self.version, collection, row_id, "update", data))

    def restore(self, version: int) -> None:
        """Lose every write after `version`, as a restore from a backup does, and say so by the
        epoch."""
        kept = [entry for entry in self.log if entry[0] <= version]
        epoch, devices = self.epoch, self.devices
        lost_numbers = {
            (d, n)
            for d, device in devices.items()
            for n, (_, r) in device.replies.items()
            if r["version"] > version
        }
        self.rows, self.log, self.version = {}, [], 0
        for at, collection, row_id, action, data in kept:
            self.version = at
            self._change(collection, row_id, None if action == "delete" else data)
        self.version = version
        self.epoch = epoch + 1
        for device_id, number in sorted(lost_numbers, key=lambda pair: -pair[1]):
            del devices[device_id].replies[number]
            devices[device_id].next_number = number

    def forget_log(self) -> None:
        """Move the tombstone horizon to the head."""
        self.floor = self.version

    def docs(self, collection: str) -> dict[UUID, Doc]:
        """Return the rows that the caller may see."""
        return {
            UUID(row_id): live.data
            for (name, row_id), live in self.rows.items()
            if name == collection and _property(live.data) in {*self.visible, NOBODY_PROPERTY}
        }

    # Pull

    def pull(self, request: ChangesRequest) -> Doc:
        """Answer a pull."""
        self.pulls.append(request)
        groups: dict[str | None, list[str]] = {}
        for wanted in request.collections:
            groups.setdefault(wanted.since_token, []).append(wanted.name)
        parts: dict[str, Doc] = {}
        for token, names in groups.items():
            parts.update(self._pull_group(token, names, request.batch_size))
        return {
            "collections": [parts[w.name] for w in request.collections],
            "serverTime": "2026-01-01T00:00:00.000000Z",
            "epoch": self.epoch,
            "version": self.version,
        }

    def _pull_group(self, text: str | None, names: list[str], batch: int) -> dict[str, Doc]:
        properties = [NOBODY_PROPERTY, *sorted(self.visible)]
        visible: list[Channel] = [(n, p) for n in names for p in properties]
        if text is None:
            token = _Token(self.epoch, self.version, [], visible, None)
            lost: list[Channel] = []
        else:
            token = _Token.read(text)
            if token.epoch != self.epoch or not self.floor <= token.version <= self.version:
                return {n: _part(n, refetch=True) for n in names}
            lost = [c for c in [*token.complete, *token.filling] if c not in visible]
            token.narrow(visible)
        changes = self._log_page(token, batch)
        self._fill_page(token, batch, changes)
        more = token.version < self.version or bool(token.filling)
        return {
            name: _part(
                name,
                changes=[c for (n, _), c in changes.items() if n == name],
                token=token.text(),
                more=more,
                purge=[p for n, p in lost if n == name],
                filling=any(n == name for n, _ in token.filling),
            )
            for name in names
        }

    def _log_page(self, token: _Token, batch: int) -> dict[tuple[str, str], Doc]:
        changes: dict[tuple[str, str], Doc] = {}
        at = token.version
        for version, name, row_id, action, data in self.log:
            if version <= token.version:
                continue
            if version != at and len(changes) >= batch:
                break
            at = version
            if token.delivers((name, _property(data)), row_id):
                changes.pop((name, row_id), None)
                body = None if action == "delete" else data
                changes[name, row_id] = _change(row_id, action, version, body)
        else:
            at = self.version
        token.version = at
        return changes

    def _fill_page(self, token: _Token, batch: int, changes: dict[tuple[str, str], Doc]) -> None:
        room = max(batch - len(changes), batch // 2, 1)
        while token.filling and room > 0:
            channel = token.filling[0]
            found = (
                sorted(
                    (row_id, live)
                    for (name, row_id), live in self.rows.items()
                    if (name, _property(live.data)) == channel and row_id > (token.cursor or "")
                )[:room]
                if self.rows
                else []
            )
            for row_id, live in found:
                if live.version <= token.version:
                    change = _change(row_id, "insert", live.version, live.data)
                    changes[channel[0], row_id] = change
            room -= len(found)
            if room > 0:
                token.complete.append(token.filling.pop(0))
                token.cursor = None
            else:
                token.cursor = found[-1][0]

    # Push

    def push(self, request: MutationsRequest) -> Doc:
        """Apply a batch."""
        self.pushes.append(request)
        if request.epoch not in (0, self.epoch):
            raise SeraiError(Code.MUST_REFETCH)
        device = self.devices.setdefault(request.device_id, Device())
        bases: dict[int, int] = {}
        unseen: dict[tuple[str, UUID], set[str]] = {}
        results = [
            self._mutate(request.device_id, device, mutation, bases, unseen)
            for mutation in request.mutations
        ]
        answer: Doc = {
            "results": results,
            "serverTime": "2026-01-01T00:00:00.000000Z",
            "nextNumber": device.next_number,
        }
        if request.pull is not None:
            answer["pull"] = self.pull(request.pull)
        return answer

    def _mutate(
        self,
        device_id: UUID,
        device: Device,
        mutation: Mutation,
        bases: dict[int, int],
        unseen: dict[tuple[str, UUID], set[str]],
    ) -> Doc:
        fields = {name: json.loads(bytes(raw)) for name, raw in mutation.fields.items()}
        body = (mutation.collection, mutation.id, mutation.op, fields)
        if mutation.number > device.next_number:
            raise SeraiError(Code.MUTATION_GAP, extra={"expected": device.next_number})
        if mutation.number < device.next_number:
            known, reply = device.replies[mutation.number]
            if known != body:
                return _refusal(mutation, "rejected", Code.KEY_REUSED.text)
            reply = {**reply, "replayed": True}
        else:
            base = mutation.base
            blind = unseen.get((mutation.collection, mutation.id), set())
            touches = blind and (mutation.op == "delete" or not blind.isdisjoint(fields))
            if mutation.after in bases and not touches:
                base = bases[mutation.after]
            reply = self._judge(mutation, fields, base)
            device.replies[mutation.number] = (body, reply)
            device.next_number += 1
            self.applied.append((device_id, mutation.number))
        if reply["status"] in ("applied", "merged"):
            bases[mutation.number] = reply["version"]
            unseen.setdefault((mutation.collection, mutation.id), set()).update(
                reply.get("fields", ())
            )
        else:
            bases[mutation.number] = bases.get(mutation.after or 0, mutation.base)
        return reply

    def _judge(self, mutation: Mutation, fields: Doc, base: int) -> Doc:
        live = self.rows.get((mutation.collection, str(mutation.id)))
        if fields.get("amount_minor", 0) < 0:
            return _refusal(mutation, "rejected", "negative_amount")
        if mutation.op == "insert" and live is not None:
            return _refusal(mutation, "conflict", "conflict", live)
        if mutation.op == "update" and live is None:
            return _refusal(mutation, "rejected", "not_found")
        merged: list[str] = []
        if live is not None and mutation.op != "insert":
            foreign = (
                list(live.data)
                if live.created > base
                else [n for n, v in live.fields.items() if v > base]
            )
            clash = [n for n in foreign if n in fields and fields[n] != live.data[n]]
            if clash or (mutation.op == "delete" and foreign):
                return _refusal(mutation, "conflict", "conflict", live)
            merged = [n for n in foreign if n not in fields]
        if mutation.op != "delete" or live is not None:
            self.write(
                (mutation.collection, mutation.id, None if mutation.op == "delete" else fields)
            )
        now = self.rows.get((mutation.collection, str(mutation.id)))
        reply: Doc = {
            "number": mutation.number,
            "status": "merged" if merged else "applied",
            "id": str(mutation.id),
            "version": self.version,
        }
        if merged:
            reply["fields"] = merged
        if now is not None:
            reply["row"] = now.data
        return reply


@dataclass
class _Token:
    epoch: int
    version: int
    complete: list[Channel]
    filling: list[Channel]
    cursor: str | None

    @staticmethod
    def read(text: str) -> _Token:
        epoch, version, complete, filling, cursor = json.loads(text)
        return _Token(epoch, version, [*map(tuple, complete)], [*map(tuple, filling)], cursor)

    def text(self) -> str:
        return json.dumps([self.epoch, self.version, self.complete, self.filling, self.cursor])

    def narrow(self, visible: list[Channel]) -> None:
        """Drop channels that are gone, add those gained at the end of the fill."""
        first = self.filling[0] if self.filling else None
        self.complete = [c for c in self.complete if c in visible]
        self.filling = [c for c in self.filling if c in visible]
        if first is not None and (not self.filling or self.filling[0] != first):
            self.cursor = None
        self.filling += [c for c in visible if c not in self.complete and c not in self.filling]

    def delivers(self, channel: Channel, row_id: str) -> bool:
        if channel in self.complete:
            return True
        return self.filling[:1] == [channel] and self.cursor is not None and row_id <= self.cursor


def _property(data: Doc) -> str:
    return data.get("property_id") or NOBODY_PROPERTY


def _change(row_id: str, action: str, version: int, data: Doc | None) -> Doc:
    change: Doc = {"id": row_id, "action": action, "version": version}
    return change if data is None else {**change, "data": data}


def _part(
    name: str,
    *,
    changes: list[Doc] | None = None,
    token: str = "",
    more: bool = True,
    purge: list[str] | None = None,
    filling: bool = False,
    refetch: bool = False,
) -> Doc:
    return {
        "name": name,
        "changes": changes or [],
        "nextToken": token,
        "hasMore": more,
        "purge": [p or str(UUID(int=0)) for p in purge or []],
        "filling": filling,
        "mustRefetch": refetch,
    }


def _refusal(mutation: Mutation, status: str, code: str, live: Live | None = None) -> Doc:
    reply: Doc = {
        "number": mutation.number,
        "status": status,
        "id": str(mutation.id),
        "version": 0 if live is None else live.version,
        "code": code,
        "reason": f"The server says {code}.",
    }
    return reply if live is None else {**reply, "row": live.data}
