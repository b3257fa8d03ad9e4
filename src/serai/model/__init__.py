"""What a vertical declares: collections, fields, conflict policies, rules, roles.

Owns the language in which a product describes its records. From one declaration follow the tables,
the validation, sync, REST, OpenAPI and client types. Promises that a declaration which loads is
consistent (`Vertical` checks it whole). Never does input or output; a vertical imports this package
and nothing below the platform's surface.
"""

from serai.model.collection import Check, Collection, Index, Policy, Scope
from serai.model.fields import (
    Field,
    FieldKind,
    boolean,
    choice,
    date,
    integer,
    known,
    money,
    reference,
    text,
    timestamp,
    user,
)
from serai.model.importing import (
    BadLine,
    Figure,
    ImportContext,
    ImportedLine,
    Importer,
    NewRow,
    Sample,
)
from serai.model.known import Known
from serai.model.rules import Accept, Actor, Key, Refuse, Row, RowChange, Rule, RuleInput, Verdict
from serai.model.vertical import Action, GrantSource, Role, Vertical

__all__ = [
    "Accept",
    "Action",
    "Actor",
    "BadLine",
    "Check",
    "Collection",
    "Field",
    "FieldKind",
    "Figure",
    "GrantSource",
    "ImportContext",
    "ImportedLine",
    "Importer",
    "Index",
    "Key",
    "Known",
    "NewRow",
    "Policy",
    "Refuse",
    "Role",
    "Row",
    "RowChange",
    "Rule",
    "RuleInput",
    "Sample",
    "Scope",
    "Verdict",
    "Vertical",
    "boolean",
    "choice",
    "date",
    "integer",
    "known",
    "money",
    "reference",
    "text",
    "timestamp",
    "user",
]
