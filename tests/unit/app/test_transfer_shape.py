"""What a declaration means for a transfer: which collections go, what is mapped, what cannot be."""

from __future__ import annotations

import pytest

from serai.app.transfer.shape import Shape
from serai.app.transfer.states import STATES, Step, Writes, course, writes
from serai.model import (
    Collection,
    GrantSource,
    Scope,
    Vertical,
    choice,
    reference,
    text,
    user,
)
from serai.readers.move.states import Course
from serai_hospitality import VERTICAL as HOSPITALITY


def collection(name: str, number: int, scope: Scope, **targets: str) -> Collection:
    fields = {
        field: reference(target, "It", optional=True, fixed=True)
        for field, target in targets.items()
    }
    return Collection(
        name=name,
        number=number,
        doc="One",
        scope=scope,
        fields={"name": text("Name", minimum=1, maximum=9), **fields},
    )


def vertical(*more: Collection) -> Vertical:
    places = collection("properties", 1, Scope.SELF)
    roles = Collection(
        name="memberships",
        number=2,
        doc="Roles",
        scope=Scope.ORGANISATION,
        fields={
            "user_id": user("Who"),
            "role": choice("Role", "owner"),
            "property_id": reference("properties", "Where", optional=True),
        },
    )
    return Vertical(
        name="trial",
        title="Trial",
        collections=(places, roles, *more),
        permissions={("owner", "properties"): frozenset({"read"})},
        owner_role="owner",
        grants=GrantSource(),
    )


def names(collections: tuple[Collection, ...]) -> list[str]:
    return [c.name for c in collections]


def test_hospitality_takes_accounts_and_vendors_along_and_ends_roles() -> None:
    shape = Shape.of(HOSPITALITY)
    assert shape.problems == ()
    assert names(shape.shared) == ["accounts", "vendors"]
    assert names(shape.own) == [
        "properties",
        "room_inventory",
        "guests",
        "stays",
        "revenues",
        "expenses",
        "staff",
        "staff_pay",
        "shifts",
        "day_closes",
    ]
    assert (shape.grants.source.name, shape.grants.field) == ("memberships", "property_id")
    assert shape.others == ()
    assert HOSPITALITY.by_name["accounts"].natural_key == ("code", "kind")


def test_what_is_shared_takes_along_what_it_refers_to_itself() -> None:
    countries = collection("countries", 3, Scope.ORGANISATION)
    makers = collection("makers", 4, Scope.ORGANISATION, country_id="countries")
    unused = collection("unused", 5, Scope.ORGANISATION, maker_id="makers")
    beds = collection("beds", 6, Scope.PROPERTY, maker_id="makers")
    shape = Shape.of(vertical(countries, makers, unused, beds))
    assert names(shape.shared) == ["countries", "makers"]
    links = [(link.source.name, link.field) for link in shape.mapped]
    assert links == [("makers", "country_id"), ("beds", "maker_id")]
    assert shape.problems == ()


def test_rows_of_the_organisation_that_lead_into_a_property_are_looked_for() -> None:
    fairs = collection("fairs", 3, Scope.ORGANISATION, property_id="properties")
    shape = Shape.of(vertical(fairs))
    assert [(link.source.name, link.field) for link in shape.others] == [("fairs", "property_id")]
    assert shape.problems == ()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ([collection("trees", 3, Scope.PROPERTY, parent_id="trees")], "trees.parent_id"),
        (
            [
                collection("brands", 3, Scope.ORGANISATION, flagship_id="properties"),
                collection("signs", 4, Scope.PROPERTY, brand_id="brands"),
            ],
            "brands.flagship_id",
        ),
        ([collection("badges", 3, Scope.PROPERTY, role_id="memberships")], "memberships"),
    ],
)
def test_what_a_copy_cannot_keep_is_told(more: list[Collection], word: str) -> None:
    problems = Shape.of(vertical(*more)).problems
    assert any(word in line for line in problems), problems


def test_a_natural_key_is_of_what_the_organisation_shares_and_always_there() -> None:
    with pytest.raises(ValueError, match="only what the organisation shares"):
        Collection(
            name="beds",
            number=3,
            doc="Beds",
            scope=Scope.PROPERTY,
            fields={"code": text("Code", minimum=1, maximum=9)},
            natural_key=("code",),
        )
    with pytest.raises(ValueError, match="'code' cannot be of a natural key"):
        Collection(
            name="makers",
            number=3,
            doc="Makers",
            scope=Scope.ORGANISATION,
            fields={"code": text("Code", maximum=9, optional=True)},
            natural_key=("code",),
        )


def test_in_no_state_both_can_write_and_the_decision_divides_them() -> None:
    for (step, held, taker), who in STATES.items():
        assert writes(step, held, taker) is who
        if who is Writes.GIVER:
            assert not held
            assert course(step) is not Course.FINISH
        if who is Writes.TAKER:
            assert taker == "active"
            assert step in (Step.DECIDED, Step.DONE)
    with pytest.raises(ValueError, match="cannot be decided"):
        writes(Step.DECIDED, False, "frozen")
