"""Declarations that contradict themselves are refused when they load, with a sentence that helps.

Owns the tests of `Collection` and `Vertical`: every fault that would otherwise show as a failed
migration or a failed request. The sentences are written by hand. Never reads a vertical that ships.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from serai.model import (
    Collection,
    Field,
    GrantSource,
    Index,
    Policy,
    Scope,
    Vertical,
    boolean,
    choice,
    date,
    integer,
    money,
    reference,
    text,
    user,
)

PROPERTIES = Collection(
    name="properties", number=1, doc="Hotels", scope=Scope.SELF, fields={"name": text("Name")}
)
MEMBERSHIPS = Collection(
    name="memberships",
    number=2,
    doc="Roles",
    scope=Scope.ORGANISATION,
    fields={
        "user_id": user("Who"),
        "role": choice("Role", "owner", "clerk"),
        "property_id": reference("properties", "Where", optional=True),
    },
)
ROOMS = Collection(
    name="rooms", number=3, doc="Rooms", scope=Scope.PROPERTY, fields={"name": text("Number")}
)


def collection(**changed: Any) -> Collection:
    members: dict[str, Any] = {
        "name": "stays",
        "number": 4,
        "doc": "Stays",
        "scope": Scope.ORGANISATION,
        "fields": {"note": text("Note"), "day": date("Day"), **money("price", "Price")},
        **changed,
    }
    return Collection(**members)


def vertical(*more: Collection, **changed: Any) -> Vertical:
    members: dict[str, Any] = {
        "name": "small",
        "title": "Small",
        "collections": (PROPERTIES, MEMBERSHIPS, ROOMS, *more),
        "permissions": {
            ("owner", "memberships"): frozenset({"read", "create"}),
            ("clerk", "rooms"): frozenset({"read", "clean"}),
        },
        "owner_role": "owner",
        **changed,
    }
    return Vertical(**members)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "Stays"}, "lower case letters, digits and underscores"),
        ({"name": "1stays"}, "lower case letters"),
        ({"name": "stays; DROP TABLE x"}, "lower case letters"),
        ({"name": "s" * 41}, "lower case letters"),
        ({"name": ""}, "lower case letters"),
        ({"number": 0}, "the number is from 1 to 62"),
        ({"number": 63}, "the number is from 1 to 62"),
        ({"number": -1}, "the number is from 1 to 62"),
        ({"fields": {"id": text("x")}}, "field 'id' is reserved"),
        ({"fields": {"org_id": text("x")}}, "field 'org_id' is reserved"),
        ({"fields": {"version": integer("x")}}, "field 'version' is reserved"),
        ({"fields": {"Note": text("x")}}, "field 'Note' is not a name"),
        ({"fields": {"no te": text("x")}}, "field 'no te' is not a name"),
        ({"unique": (("nothing",),)}, "'nothing' is not a field"),
        ({"indexes": (Index(("note", "gone")),)}, "'gone' is not a field"),
        ({"field_policies": {"other": Policy.MERGE}}, "'other' is not a field"),
        ({"month_of": "nothing"}, "month_of names a required date field"),
        ({"month_of": "note"}, "month_of names a required date field"),
        ({"month_of": "day", "unique": (("note",),)}, "cannot hold a uniqueness over all months"),
    ],
)
def test_a_collection_that_cannot_work_says_so_by_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^collection ") as caught:
        collection(**changed)
    assert said in str(caught.value)


@pytest.mark.parametrize("part", ["price_minor", "price_currency"])
@pytest.mark.parametrize("whole", [True, False])
def test_money_can_never_be_declared_to_take_the_last_write(part: str, whole: bool) -> None:
    other = {n: Policy.MERGE for n in ("price_minor", "price_currency") if n != part}
    changed: dict[str, Any] = (
        {"policy": Policy.LAST_WRITE, "field_policies": other}
        if whole
        else {"field_policies": {part: Policy.LAST_WRITE}}
    )
    with pytest.raises(ValueError, match=f"'{part}' is money: it never takes the last write"):
        collection(**changed)


def test_a_collection_may_take_the_last_write_beside_its_money() -> None:
    kept = {"price_minor": Policy.MERGE, "price_currency": Policy.WHOLE_ROW}
    made = collection(policy=Policy.LAST_WRITE, field_policies=kept)
    assert made.policy_of("note") is Policy.LAST_WRITE
    assert made.policy_of("price_minor") is Policy.MERGE
    assert made.policy_of("price_currency") is Policy.WHOLE_ROW


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (integer("n", minimum=5, maximum=4), "its minimum 5 is above its maximum 4"),
        (text("t", minimum=5, maximum=4), "its minimum 5 is above its maximum 4"),
        (integer("n", maximum=2**53), "beyond the integers that JavaScript keeps exact"),
        (integer("n", minimum=-(2**53)), "beyond the integers that JavaScript keeps exact"),
        (choice("c"), "a choice has one or more words, each once"),
        (choice("c", "a", "b", "a"), "a choice has one or more words, each once"),
    ],
)
def test_a_field_that_no_value_fits_is_refused_when_it_is_declared(field: Field, said: str) -> None:
    with pytest.raises(ValueError, match=r"^collection stays: field 'odd': ") as caught:
        collection(fields={"odd": field})
    assert said in str(caught.value)


def test_a_row_of_a_property_always_says_which_and_says_it_first() -> None:
    assert list(ROOMS.fields) == ["property_id", "name"]
    place = ROOMS.fields["property_id"]
    assert (place.target, place.fixed, place.optional) == ("properties", True, False)
    assert "property_id" not in PROPERTIES.fields


@pytest.mark.parametrize(
    "place",
    [
        reference("properties", "Where", optional=True),
        reference("properties", "Where", server=True),
        text("Where"),
    ],
)
def test_a_row_of_a_property_cannot_be_declared_without_one(place: Field) -> None:
    with pytest.raises(ValueError, match="'property_id' is a required reference"):
        collection(scope=Scope.PROPERTY, fields={"property_id": place})


def test_a_declaration_does_not_change_after_it_was_checked() -> None:
    fields = {"note": text("Note")}
    made = collection(fields=fields)
    fields["id"] = text("smuggled")
    assert list(made.fields) == ["note"]
    with pytest.raises(TypeError):
        made.fields["id"] = text("smuggled")  # pyright: ignore[reportIndexIssue] - the mapping is read-only, which is the point
    with pytest.raises(FrozenInstanceError):
        made.number = 5  # pyright: ignore[reportAttributeAccessIssue] - frozen, which is the point


@pytest.mark.parametrize(
    ("more", "changed", "said"),
    [
        ((collection(name="rooms"),), {}, "names and numbers of collections are unique"),
        ((collection(number=3),), {}, "names and numbers of collections are unique"),
        (
            (collection(fields={"g": reference("guests", "x")}),),
            {},
            "stays.g: 'guests' is not declared before it",
        ),
        (
            (
                collection(fields={"g": reference("later", "x")}),
                collection(name="later", number=5),
            ),
            {},
            "stays.g: 'later' is not declared before it",
        ),
        (
            (
                collection(month_of="day"),
                collection(name="notes", number=5, fields={"s": reference("stays", "x")}),
            ),
            {},
            "notes.s: a table by month cannot be referred to",
        ),
        (
            (),
            {"permissions": {("owner", "nothing"): frozenset({"read"})}},
            "the table of roles names 'nothing', which is no collection",
        ),
        ((), {"owner_role": "queen"}, "the owner's role 'queen' is not in the table of roles"),
        ((), {"grants": GrantSource("nowhere")}, "grants come from 'nowhere'"),
        (
            (),
            {"grants": GrantSource(user_field="who")},
            "grants come from memberships.who, which is no field",
        ),
        (
            (),
            {"grants": GrantSource(property_field="place")},
            "grants come from memberships.place, which is no field",
        ),
    ],
)
def test_a_vertical_that_cannot_work_says_so_by_name(
    more: tuple[Collection, ...], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=r"^vertical small: ") as caught:
        vertical(*more, **changed)
    assert said in str(caught.value)


def test_a_tree_of_rows_may_refer_to_its_own_collection() -> None:
    tree = collection(fields={"parent": reference("stays", "Above it", optional=True)})
    assert vertical(tree).by_name["stays"] is tree


def test_a_collection_is_found_by_name_and_by_number() -> None:
    made = vertical()
    assert made.by_name["rooms"] is made.by_number[3] is ROOMS
    assert made.roles == {"owner", "clerk"}


def test_what_the_table_of_roles_does_not_say_is_not_allowed() -> None:
    made = vertical()
    assert made.allows(["clerk"], "rooms", "read")
    assert made.allows(["owner", "clerk"], "rooms", "clean")
    assert not made.allows(["owner"], "rooms", "read")
    assert not made.allows(["clerk"], "rooms", "delete")
    assert not made.allows(["clerk"], "nothing", "read")
    assert not made.allows([], "rooms", "read")


def test_a_role_reads_the_organisations_rows_apart_from_those_of_properties() -> None:
    everything = {
        ("owner", name): frozenset({"read"}) for name in ("properties", "memberships", "rooms")
    }
    made = vertical(permissions={**everything, ("clerk", "rooms"): frozenset({"update"})})
    assert made.readable_mask("owner", organisation=True) == 0b0100
    assert made.readable_mask("owner", organisation=False) == 0b1010
    assert made.readable_mask("clerk", organisation=False) == 0
    assert made.readable_mask("nobody", organisation=True) == 0


def test_the_sixty_second_collection_is_readable_like_the_first() -> None:
    last = collection(number=62, fields={"yes": boolean("Yes")})
    made = vertical(last, permissions={("owner", "stays"): frozenset({"read"})})
    assert made.readable_mask("owner", organisation=True) == 1 << 62
