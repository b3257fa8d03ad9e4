"""From a declaration to tables: what a shard's database holds for each collection of a vertical.

Owns the generated SQL. A typed table has the columns of the declaration and enforces what a
database can: types, required fields, lengths, ranges, choices, references, uniqueness, checks; a
pattern is checked before (`Field.parser`). Its rows are made by the database from the finished JSON
text that also goes into `serai.row` and the log, so they cannot say something else. Promises that
the statements are additive and replayable (`GeneratedStatement`). Never reads or writes data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from serai.core.errors import Code
from serai.model import Check, Collection, Field, FieldKind, Vertical
from serai.schema.generated import GeneratedStatement


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a violated constraint means to a caller.

    Attributes:
        referenced_by: for a reference, the collection that holds it: a delete of its target
            violates it too.
    """

    code: Code
    detail: str
    fields: tuple[str, ...]
    referenced_by: str | None = None


_NAME_BYTES_MAX: Final = 63
_OLD_ROW: Final = "serai.row x WHERE x.org_id = {org} AND x.collection = {number} AND x.id = {id}"


def generate(vertical: Vertical) -> list[GeneratedStatement]:
    """Return the statements for all collections, in the order in which they must run."""
    schema = vertical.name
    out = [GeneratedStatement(f"schema {schema}", "table", f"CREATE SCHEMA IF NOT EXISTS {schema}")]
    for position, collection in enumerate(vertical.collections):
        out += _table(schema, collection)
        out += _constraints(schema, collection)
        out += _indexes(schema, collection)
        out += _functions(schema, collection)
        out.append(_registration(schema, collection, position))
    return out


def constraints(vertical: Vertical) -> dict[str, Constraint]:
    """Return constraint name -> meaning, for every constraint a write can violate."""
    found: dict[str, Constraint] = {}
    for c in vertical.collections:
        for name, message, _ in _field_checks(c):
            found[_valid_name(c, name)] = Constraint(Code.FIELDS_INVALID, message, (name,))
        for check in c.checks:
            found[_check_name(c, check)] = Constraint(Code.CONSTRAINT, check.message, ())
        for names in c.unique:
            detail = f"Another row of {c.name} has the same {', '.join(names)}."
            found[_unique_name(c, names)] = Constraint(Code.NOT_UNIQUE, detail, names)
        for field_name, field in c.fields.items():
            if field.target is not None:
                detail = f"There is no such row in {field.target}."
                found[_reference_name(c, field_name)] = Constraint(
                    Code.REFERENCE_MISSING, detail, (field_name,), referenced_by=c.name
                )
    return found


def column_type(field: Field) -> str:
    """Return the PostgreSQL type of a field's column."""
    return field.kind.value.strip()


def _table(schema: str, c: Collection) -> Iterator[GeneratedStatement]:
    table = f"{schema}.{c.name}"
    if c.month_of is None:
        sql = (
            f"CREATE TABLE {table} (org_id bigint NOT NULL, id uuid NOT NULL, "
            "PRIMARY KEY (org_id, id)) WITH (fillfactor = 90)"
        )
    else:
        sql = (
            f"CREATE TABLE {table} "
            f"(org_id bigint NOT NULL, id uuid NOT NULL, {named(c.month_of)} date NOT NULL, "
            f"PRIMARY KEY (org_id, id, {named(c.month_of)})) "
            f"PARTITION BY RANGE ({named(c.month_of)});\n"
            f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT"
        )
    yield GeneratedStatement(f"table {table}", "table", sql)
    for name, field in c.fields.items():
        if name != c.month_of:
            # NOT NULL is a check of its own: a column may be added to a table that has rows.
            sql = f"ALTER TABLE {table} ADD COLUMN {named(name)} {column_type(field)}"
            yield GeneratedStatement(f"column {table}.{name}", "column", sql)


def _field_checks(c: Collection) -> Iterator[tuple[str, str, str]]:
    """Yield (field name, message, condition) for what each single field must be."""
    for name, field in c.fields.items():
        column = named(name)
        parts = [] if field.optional or name == c.month_of else [f"{column} IS NOT NULL"]
        match field.kind:
            case FieldKind.TEXT:
                parts.append(f"length({column}) BETWEEN {field.minimum or 0} AND {field.maximum}")
            case FieldKind.INTEGER:
                if field.minimum is not None:
                    parts.append(f"{column} >= {field.minimum}")
                if field.maximum is not None:
                    parts.append(f"{column} <= {field.maximum}")
            case FieldKind.CHOICE:
                values = ", ".join(_quoted(word) for word in field.choices)
                parts.append(f"{column} IN ({values})")
            case (
                FieldKind.BOOLEAN
                | FieldKind.DATE
                | FieldKind.TIMESTAMP
                | FieldKind.REFERENCE
                | FieldKind.USER
            ):
                pass
            case _:
                assert_never(field.kind)
        if parts:
            yield name, f"{name}: {_field_message(field)}", " AND ".join(parts)


def _field_message(field: Field) -> str:
    bounds = f" from {field.minimum} to {field.maximum}" if field.minimum is not None else ""
    return (
        f"must be a valid {field.kind.name.lower()}{bounds}{'' if field.optional else ', not null'}"
    )


def _constraints(schema: str, c: Collection) -> Iterator[GeneratedStatement]:
    table = f"{schema}.{c.name}"
    for name, _, condition in _field_checks(c):
        yield _constraint(table, _valid_name(c, name), f"CHECK ({condition})")
    for check in c.checks:
        yield _constraint(table, _check_name(c, check), f"CHECK ({check.sql})")
    for names in c.unique:
        definition = f"UNIQUE NULLS NOT DISTINCT (org_id, {_listed(names)})"
        yield _constraint(table, _unique_name(c, names), definition)
    for name, field in c.fields.items():
        if field.target is not None:
            target = f"{schema}.{field.target} (org_id, id)"
            definition = f"FOREIGN KEY (org_id, {named(name)}) REFERENCES {target}"
            yield _constraint(table, _reference_name(c, name), definition)


def _constraint(table: str, name: str, definition: str) -> GeneratedStatement:
    drop = f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
    sql = f"{drop}, ADD CONSTRAINT {name} {definition}"
    return GeneratedStatement(f"constraint {table}.{name}", "constraint", sql, drop)


def _indexes(schema: str, c: Collection) -> Iterator[GeneratedStatement]:
    for index in c.indexes:
        yield _index(schema, c, index.fields, sparse=index.sparse)
    # A delete of the target looks for rows that refer to it; without an index it reads the whole
    # table.
    led = {fields[0] for fields in [*(i.fields for i in c.indexes), *c.unique]}
    for name, field in c.fields.items():
        if field.target is not None and name not in led and name != "property_id":
            yield _index(schema, c, (name,))


def _index(
    schema: str, c: Collection, fields: tuple[str, ...], *, sparse: bool = False
) -> GeneratedStatement:
    name = _fitting(f"{c.name}_by_{'_'.join(fields)}")
    drop = f"DROP INDEX IF EXISTS {schema}.{name}"
    sql = f"{drop};\nCREATE INDEX {name} ON {schema}.{c.name} (org_id, {_listed(fields)}, id)"
    if sparse:
        sql += f" WHERE {named(fields[-1])} IS NOT NULL"
    return GeneratedStatement(f"index {schema}.{name}", "index", sql, drop)


def _functions(schema: str, c: Collection) -> Iterator[GeneratedStatement]:
    table = f"{schema}.{c.name}"
    names = list(c.fields)
    columns = f"org_id, id, {_listed(names)}"
    record = ", ".join(f"{named(name)} {column_type(field)}" for name, field in c.fields.items())
    values = ", ".join(f"d.{named(name)}" for name in names)
    key = "org_id, id" if c.month_of is None else f"org_id, id, {named(c.month_of)}"
    sets = ", ".join(
        f"{n} = excluded.{n}" for n in (named(name) for name in names if name != c.month_of)
    )
    # The old row is in another month's partition if its date changes: it is taken out there.
    relocate = "" if c.month_of is None else _relocation(table, c, c.month_of)
    declared = "" if c.month_of is None else "DECLARE\n    dated record;\n"
    apply_sql = f"""CREATE OR REPLACE FUNCTION {schema}.apply_{c.name}(
    p_org bigint[], p_id uuid[], p_doc text[], p_updates boolean
) RETURNS void LANGUAGE plpgsql AS $$
{declared}BEGIN
    IF p_updates THEN
{relocate}        INSERT INTO {table} ({columns})
        SELECT u.org_id, u.id, {values}
        FROM unnest(p_org, p_id, p_doc) AS u (org_id, id, doc)
        CROSS JOIN LATERAL json_to_record(u.doc::json) AS d ({record})
        ON CONFLICT ({key}) DO UPDATE SET {sets};
    ELSE
        INSERT INTO {table} ({columns})
        SELECT u.org_id, u.id, {values}
        FROM unnest(p_org, p_id, p_doc) AS u (org_id, id, doc)
        CROSS JOIN LATERAL json_to_record(u.doc::json) AS d ({record});
    END IF;
END
$$"""
    yield GeneratedStatement(f"function {schema}.apply_{c.name}", "function", apply_sql)
    month = ""
    if c.month_of is not None:
        old = _OLD_ROW.format(number=c.number, org="p_org[n]", id="p_id[n]")
        dated = f"(SELECT (x.doc::json ->> '{c.month_of}')::date FROM {old})"
        month = f"\n            AND t.{named(c.month_of)} = {dated}"
    # Row by row: a plan that was made while the table was empty would read all of it in one join.
    remove_sql = f"""CREATE OR REPLACE FUNCTION {schema}.remove_{c.name}(
    p_org bigint[], p_id uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..cardinality(p_org) LOOP
        DELETE FROM {table} t WHERE t.org_id = p_org[n] AND t.id = p_id[n]{month};
    END LOOP;
END
$$"""
    yield GeneratedStatement(f"function {schema}.remove_{c.name}", "function", remove_sql)


def _relocation(table: str, c: Collection, month_of: str) -> str:
    old = _OLD_ROW.format(number=c.number, org="u.org_id", id="u.id")
    return f"""        FOR dated IN
            SELECT u.org_id, u.id, old.day
            FROM unnest(p_org, p_id, p_doc) AS u (org_id, id, doc)
            CROSS JOIN LATERAL (
                SELECT (x.doc::json ->> '{month_of}')::date AS day FROM {old} OFFSET 0
            ) old
            WHERE old.day <> (u.doc::json ->> '{month_of}')::date
        LOOP
            DELETE FROM {table} t
            WHERE t.org_id = dated.org_id AND t.id = dated.id AND t.{named(month_of)} = dated.day;
        END LOOP;
"""


def _registration(schema: str, c: Collection, position: int) -> GeneratedStatement:
    sql = f"""INSERT INTO serai.collection (number, name, position, apply_function, remove_function)
VALUES ({c.number}, '{c.name}', {position}, '{schema}.apply_{c.name}', '{schema}.remove_{c.name}')
ON CONFLICT (number) DO UPDATE SET name = excluded.name, position = excluded.position,
    apply_function = excluded.apply_function, remove_function = excluded.remove_function"""
    return GeneratedStatement(f"registration {schema}.{c.name}", "function", sql)


def _unique_name(c: Collection, names: tuple[str, ...]) -> str:
    return _fitting(f"{c.name}_{'_'.join(names)}_key")


def _reference_name(c: Collection, field_name: str) -> str:
    return _fitting(f"{c.name}_{field_name}_fkey")


def _valid_name(c: Collection, field_name: str) -> str:
    return _fitting(f"{c.name}_{field_name}_valid")


def _check_name(c: Collection, check: Check) -> str:
    return _fitting(f"{c.name}_{check.name}_check")


def _fitting(name: str) -> str:
    """Return a name that PostgreSQL keeps whole: it cuts longer ones, and two could become one."""
    if len(name) <= _NAME_BYTES_MAX:
        return name
    return f"{name[: _NAME_BYTES_MAX - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def named(name: str) -> str:
    """Return a declared name as an identifier of SQL: a field may be called `order` or `user`."""
    return f'"{name}"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(named, names))


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"
