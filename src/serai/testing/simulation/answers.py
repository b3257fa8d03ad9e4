"""The oracle of answers: each is judged when it leaves the server, before the network has it.

Owns what an answer may say: the first answer again on a replay (I4), nothing of another
organisation (I5), nothing outside the caller's channels (I6), no token that goes back or that is
somebody else's (I7), every committed change of a channel (I8), all rows of a write together (I9),
no token continued below the horizon (I10), nothing older than what was committed when the request
arrived (I11). Never changes anything.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from serai.core.token import SinceToken, TokenSealer
from serai.ports.store import Head
from serai.testing.simulation.callers import NEIGHBOUR
from serai.testing.simulation.history import Channel, History, RowId
from serai.testing.simulation.neighbour import CANARY
from serai.testing.simulation.server import FORGER, Exchange
from serai.testing.simulation.tokens import Tokens, coverage, is_complete, scopes, stands_for

_ERRORS: Final = frozenset(
    {
        *("deadline", "unavailable", "contended", "mutation_gap", "must_refetch"),
        *("unauthenticated", "org_frozen", "org_moved", "property_held"),
    }
)
"""What a device may be told in a run; anything else is a defect."""


class Answers:
    """The judge of one run's answers."""

    def __init__(self, history: History, sealer: TokenSealer) -> None:
        """Start with nothing seen."""
        self.tokens = Tokens(sealer, history.org_id)
        self._history = history
        self._trace = history.trace
        self._replies: dict[tuple[UUID, int], Any] = {}

    def judge(self, exchange: Exchange) -> None:
        """Judge an answer of the server."""
        reply = exchange.reply
        if reply.status == 304:
            self._trace.branch("not_modified")
            return
        answer = msgspec.json.decode(reply.body)
        request = msgspec.json.decode(exchange.body)
        if exchange.user == NEIGHBOUR:
            self._other_side(exchange, answer)
            return
        quiet = not _marked(reply.body.decode())
        self._trace.require(quiet, f"I5: {exchange.device} was sent the neighbour's words")
        if exchange.device == FORGER:
            self._forged(exchange, answer)
            return
        if reply.status != 200:
            self._trace.branch(f"error_{answer['code']}")
            known = answer["code"] in _ERRORS
            self._trace.require(known, f"the server answers {answer['code']}: {answer['detail']}")
            return
        if exchange.kind == "pull":
            self._page(exchange, request, answer)
            return
        for result in answer["results"]:
            name = (UUID(request["deviceId"]), result["number"])
            # Of what was lost with a tail there may be an answer still, and another one later.
            if name not in self._history.lost:
                self._result(name[0], result)
        if answer.get("pull") is not None:
            self._page(exchange, request["pull"], answer["pull"])

    def _forged(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        """Judge the answer to a token that is not the caller's."""
        if exchange.reply.status < 500 and answer.get("code") != "unauthenticated":
            refused = answer.get("code") == "token_invalid"
            self._trace.require(refused, f"I7: a forged token was answered {exchange.reply}")
            self._trace.branch("error_token_invalid", refused)

    def _other_side(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        """Judge an answer to the neighbour: every row has the neighbour's mark."""
        if exchange.reply.status != 200:
            if exchange.device == FORGER:
                self._forged(exchange, answer)
            return
        self._trace.require(exchange.device != FORGER, "I7: the hotel's token opened next door")
        for part in answer["collections"]:
            foreign = [c["id"] for c in part["changes"] if not _marked(str(c.get("data", CANARY)))]
            self._trace.require(not foreign, f"I5: the neighbour was sent {part['name']} {foreign}")

    def _result(self, device_id: UUID, result: dict[str, Any]) -> None:
        replayed = result.pop("replayed", False)
        self._trace.branch("replayed_answer", replayed)
        first = self._replies.setdefault((device_id, result["number"]), result)
        same = first == result or (replayed and _is_left_of(first, result))
        self._trace.require(same, f"I4: {result['number']} was answered {first}, and now {result}")

    def _page(self, exchange: Exchange, request: dict[str, Any], answer: dict[str, Any]) -> None:
        if answer["epoch"] < self._history.sure_since:
            self._trace.branch("answer_of_lost")
            return
        self._recent(exchange, request, answer)
        seen = self._history.channels(exchange.user, answer["version"])
        if exchange.replicas:
            # Roles are those of home, the rows of a moment before: what was given since counts.
            seen |= self._history.channels(exchange.user, self._history.version)
        asked = {each["name"]: each.get("sinceToken") for each in request["collections"]}
        sent: dict[RowId, int] = {}
        since = now = None
        for part in answer["collections"]:
            number = self._history.vertical.by_name[part["name"]].number
            since = self.tokens.read(exchange.user, asked[part["name"]])
            if part.get("mustRefetch", False):
                self._trace.branch("must_refetch")
                why = since is None or why_refetch(since, exchange.now)
                self._trace.require(why, f"I12: {exchange.device} is to begin again for nothing")
                return
            # A replica may not have heard of the horizon yet, and then it has the log.
            old = since is not None and since.position.version < exchange.floor
            self._trace.require(
                exchange.replicas or not old, "I10: a token below the horizon was continued"
            )
            other = since is not None and since.position.epoch < exchange.epoch
            self._trace.require(not other, "I10: a token of another epoch was continued")
            for change in part["changes"]:
                row = (number, UUID(change["id"]))
                self._visible(exchange.device, row, seen)
                self._trace.branch("tombstone", change["action"] == "delete")
                sent[row] = change["version"]
            now = self.tokens.read(exchange.user, part["nextToken"])
            fills = since is None or now is None or coverage(since) != coverage(now)
            self.tokens.given(
                asked[part["name"]], part["nextToken"], fills=fills, version=self._history.version
            )
            self._count(part, since, now)
        if since is not None and now is not None:
            self._whole(exchange.device, since, now, sent)

    def _visible(self, device: str, row: RowId, seen: set[Channel]) -> None:
        """Judge that a row is one of the organisation's, and in the caller's channels."""
        known = row in self._history.rows
        self._trace.require(known, f"I5: {device} was sent {row}, of elsewhere")
        visible = not known or self._history.channel_of(row) in seen
        self._trace.require(visible, f"I6: {device} was sent {row}")

    def _recent(self, exchange: Exchange, request: dict[str, Any], answer: dict[str, Any]) -> None:
        """Judge that an answer is not older than it may be: what was committed when its request
        arrived; of a replica, what the request says it has seen.
        """
        at = (answer["epoch"], answer["version"])
        due = (exchange.epoch, exchange.version)
        if exchange.replicas:
            texts = [each.get("sinceToken") for each in request["collections"]]
            tokens = [self.tokens.read(exchange.user, text) for text in texts]
            seen = [token.position for token in tokens if token is not None]
            known = [*seen, *([] if exchange.need is None else [exchange.need])]
            self._trace.branch("read_min_version", exchange.need is not None)
            if known:
                due = max((each.epoch, each.version) for each in known)
        self._trace.require(
            at >= due, f"I11: {exchange.device} was answered from {at}, and is due {due}"
        )

    def _whole(
        self, device: str, since: SinceToken, now: SinceToken, sent: dict[RowId, int]
    ) -> None:
        """Judge that a page has every change between its two tokens that nothing supersedes."""
        for version in range(since.position.version + 1, now.position.version + 1):
            rows = self._history.written.get(version, ())
            there = [row for row in rows if sent.get(row) == version]
            for row in rows:
                last = self._history.row_at(row, now.position.version)
                assert last is not None, "it was written"
                due = last.version == version and stands_for(since, last.scope, row)
                if due and not is_complete(since, last.scope, row):
                    # A fill that begins again leaves out what is newer than its page (decision 9).
                    due = self._history.rows[row][-1] is last
                if due and stands_for(now, last.scope, row) and row not in there:
                    # With a part of its write it is torn, without it is missing.
                    promise = "I9" if there else "I8"
                    what = f"{promise}: {device} was not sent {row} of version {version}"
                    self._trace.require(promise=False, message=what)
                    return

    def _count(
        self, part: dict[str, Any], since: SinceToken | None, now: SinceToken | None
    ) -> None:
        self._trace.branch("fill", part.get("filling", False))
        self._trace.branch("channel_lost", bool(part.get("purge")))
        self._trace.branch("page_of_log", part["hasMore"] and not part.get("filling", False))
        if since is not None and now is not None:
            self._trace.branch("channel_gained", bool(scopes(now) - scopes(since)))
            moved = now.position.version >= since.position.version
            self._trace.require(moved, "I7: a token went back")


def why_refetch(since: SinceToken, now: Head) -> bool:
    """Tell whether a token has to be given up: another epoch, or the log does not reach back."""
    at = since.position
    return at.epoch != now.epoch or at.version < now.floor


def _marked(text: str) -> bool:
    """Tell whether a text has something of the neighbour's."""
    return CANARY in text or str(NEIGHBOUR) in text


def _is_left_of(first: dict[str, Any], result: dict[str, Any]) -> bool:
    """Tell whether an answer is what is left of the first one after its text was forgotten."""
    if result.get("row") is not None:
        return False
    if first["status"] in ("applied", "merged"):
        return result["status"] == "applied"
    return (first["status"], first["code"]) == (result["status"], result["code"])
