"""Every operation of the OpenAPI document, with what the document lets a stranger make of it.

Schemathesis makes requests from the document: some that it allows, and the same with a fault. Half
of them get ids of rows that are there, so that they reach further than a 404. Whatever is sent, the
answer is one that the document has: its status, its media type, its form, and for a problem its
code. The server tells which operations it saw, the databases what the run changed.

The coverage phase is left out: it sends every bound of each of 126 parameters of a list, and takes
minutes. `make fuzz` sends more of the random ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import Counter
from typing import Any

import psycopg
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from psycopg import sql
from schemathesis import Case, GenerationMode, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from integration.http.house import Inn, fill, make_inn, owner_of
from integration.http.serving import Server, running

EXAMPLES = int(os.environ.get("SERAI_FUZZ_EXAMPLES", "6"))
"""Requests an operation, of those that the document allows; as many again of those it does not."""
SEED = int(os.environ.get("SERAI_FUZZ_SEED", "20261126"))
BY_THE_SERVER = (414, 431)
"""What the server below Serai says by itself, without a body."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DONE_MIN = 50
"""Operations, of 78, that some request has to succeed at."""
PARAMETERS_OF_KNOWN = 3
UNHURRIED = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]
Made = Case[Any]
Object = dict[str, Any]


class Fuzz:
    """One caller, who sends what was made and looks at what comes back."""

    def __init__(self, document: Object, url: str, inn: Inn) -> None:
        self.url = url
        self.inn = inn
        self.session = requests.Session()
        self.forms: dict[str, Object] = document["components"]["schemas"]
        self.seen: Counter[tuple[str, int]] = Counter()
        self.made: dict[str, str] = {}

    def send(self, case: Made, *, known: bool) -> None:
        """Send one request; AssertionError if the document does not have the answer."""
        operation = case.operation.definition.raw
        if known:
            self.make_known(case, operation)
        authorization = f"Bearer {self.inn.tokens[0]}"
        answer = case.call(self.url, self.session, {"Authorization": authorization})
        self.seen[operation["operationId"], answer.status_code] += 1
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CHECKS)
        # Making a request known may have mended what was wrong, and an empty list in a query may be
        # sent as nothing.
        plain = not any(isinstance(value, list | dict) for value in case.query.values())
        if answer.status_code < 400 and plain and not known:
            case.validate_response(answer, checks=[negative_data_rejection])
        if answer.status_code >= 400 and answer.status_code not in BY_THE_SERVER:
            check_problem(answer, operation)
        if answer.status_code == 201:
            body: Any = answer.json()
            self.made[operation["tags"][0]] = body.get("key", body)["id"]

    def make_known(self, case: Made, operation: Object) -> None:
        """Put ids of rows that are there into a request, and leave out most of a query."""
        tag = operation["tags"][0]
        if "id" in case.path_parameters:
            there = self.inn.rows.get(tag, self.inn.rows["guests"])
            case.path_parameters["id"] = self.made.get(tag, there)
        for name in list(case.query)[PARAMETERS_OF_KNOWN:]:
            del case.query[name]
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = secrets.token_hex(8)
            case.headers.pop("If-Match", None)
        body: Any = case.body
        if isinstance(body, dict):
            form = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            self.make_body_known(body, self.forms[form.rpartition("/")[2]]["properties"])

    def make_body_known(self, body: Object, fields: dict[str, Object]) -> None:
        for name in body.keys() & fields.keys():
            target = fields[name].get("x-serai-collection")
            if target is not None and body[name] is not None:
                body[name] = self.inn.rows[target]
        for number, mutation in enumerate(objects(body, "mutations"), 1):
            mutation |= {"number": number, "collection": "guests"}
        for wanted in objects(body, "collections"):
            wanted["name"] = "guests"


def objects(body: Object, name: str) -> list[Object]:
    """Return the objects of a list that should be there, and may be anything."""
    found: Any = body.get(name)
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def check_problem(answer: Response, operation: Object) -> None:
    """AssertionError if an error is no problem with a code that the document has there."""
    assert answer.headers["content-type"] == ["application/problem+json"], answer.headers
    problem: Any = answer.json()
    documented = operation["responses"][str(answer.status_code)]["x-serai-codes"]
    assert problem["status"] == answer.status_code
    assert problem["code"] in documented, (problem, documented)


def fuzz(run: Fuzz, operation: Any, mode: GenerationMode) -> str | None:
    """Send requests to one operation; return what was wrong first."""
    made = st.tuples(operation.as_strategy(generation_mode=mode), st.booleans())

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=UNHURRIED,
        phases=[Phase.generate],
    )
    @given(made)
    def send(one: tuple[Made, bool]) -> None:
        run.send(one[0], known=one[1])

    try:
        send()
    except Unsatisfiable:
        # Without a parameter and a body there is nothing to be wrong in.
        return None if mode is GenerationMode.NEGATIVE else f"{operation.label}: nothing was made"
    except (FailureGroup, Exception) as error:  # noqa: BLE001 - all operations are tried before the test fails
        return f"{operation.label} {mode.value}: {error}"
    return None


def fuzz_all(run: Fuzz, document: Object) -> list[str]:
    """Send requests to all operations; return what was wrong, operation by operation."""
    wrong: list[str] = []
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        for mode in GenerationMode:
            said = fuzz(run, found.ok(), mode)
            wrong += [] if said is None else [said]
    return wrong


def of_others(url: str, org_id: int) -> Object:
    """Return a digest of what each table holds of every other organisation, but for those that
    upkeep writes: no request leads there.
    """
    found: Object = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE column_name = 'org_id' AND table_type = 'BASE TABLE'"
            " AND table_name NOT IN ('log_life', 'segment')"
        ).fetchall()
        for schema, name in tables:
            digest = sql.SQL(
                "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t WHERE org_id <> %s"
            ).format(sql.Identifier(schema, name))
            found[f"{schema}.{name}"] = connection.execute(digest, (org_id,)).fetchone()
    return found


def ids_in(document: Object) -> set[str]:
    return {
        entry[method]["operationId"]
        for entry in document["paths"].values()
        for method in ("get", "put", "post", "patch", "delete")
        if method in entry
    }


def answered_by(server: Server) -> set[str]:
    """Return the operations that the server says it answered."""
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    return {line["operation"] for line in lines if line["event"] == "request"}


async def filled(directory: str, server: Server) -> Inn:
    inn = await make_inn(directory, f"fuzz-{secrets.token_hex(4)}")
    async with owner_of(inn, server.url) as api:
        await fill(api, inn)
    return inn


def test_no_request_that_the_document_leads_to_gets_an_answer_it_does_not_have(
    fleet, tmp_path, seaside, mill
):
    assert seaside.rows
    assert mill.rows
    # A server of the test's own: sign-ins are limited, and its log is counted.
    with running(tmp_path / "log", fleet[0], SERAI_LOG_LEVEL="debug") as server:
        inn = asyncio.run(filled(fleet[0], server))
        document = requests.get(f"{server.url}/openapi.json", timeout=60).json()
        run = Fuzz(document, server.url, inn)
        before = [of_others(url, inn.org_id) for url in fleet]
        wrong = fuzz_all(run, document)
        assert [of_others(url, inn.org_id) for url in fleet] == before
    assert wrong == [], "\n".join(wrong)
    assert {name for name, _ in run.seen} == ids_in(document)
    assert answered_by(server) >= ids_in(document)
    # The run is worth something: operations were not only refused.
    assert len({name for name, status in run.seen if status < 300}) >= DONE_MIN
