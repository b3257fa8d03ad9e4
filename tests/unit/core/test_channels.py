"""Channel sets, held against a model that lists every channel by hand.

Owns the laws of `serai.core.channels`. The model is a plain set of (scope, number) pairs over a few
properties, in which the properties of "every property" are written out, those to come included. It
shares no code with the masks. Never touches a token.
"""

from __future__ import annotations

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from serai.core import channels
from serai.core.ids import ALL_SCOPES, ORG_SCOPE

SEA, HILL, TOWN = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
TO_COME = UUID(int=0xD)
"""A property that no set names: what every property means for it must hold too."""
PROPERTIES = (SEA, HILL, TOWN, TO_COME)
NUMBERS = range(1, 63)
Pairs = frozenset[tuple[UUID, int]]

masks = st.one_of(
    st.sets(st.sampled_from(NUMBERS), max_size=4).map(lambda ns: sum(1 << n for n in ns)),
    st.just(0),
    st.just(sum(1 << n for n in NUMBERS)),
)
raw_sets = st.dictionaries(
    st.sampled_from([ORG_SCOPE, SEA, HILL, TOWN, ALL_SCOPES]), masks, max_size=5
)


def written_out(channel_set: dict[UUID, int]) -> Pairs:
    """Every channel that the set stands for, one by one."""
    found: set[tuple[UUID, int]] = set()
    for scope, mask in channel_set.items():
        places = PROPERTIES if scope == ALL_SCOPES else (scope,)
        found |= {(place, n) for place in places for n in NUMBERS if mask & (1 << n)}
    return frozenset(found)


@given(raw_sets)
def test_bringing_a_set_into_normal_form_neither_shows_nor_hides_a_row(raw) -> None:
    made = channels.normal(raw)
    assert written_out(made) == written_out(raw)
    assert channels.normal(made) == made
    assert 0 not in made.values()
    assert list(made) == sorted(made)


@given(raw_sets, raw_sets)
def test_two_grants_that_show_the_same_rows_are_equal_unless_one_names_all_to_come(a, b) -> None:
    left, right = channels.normal(a), channels.normal(b)
    everywhere = left.get(ALL_SCOPES, 0) == right.get(ALL_SCOPES, 0)
    assert (left == right) == (everywhere and written_out(a) == written_out(b))


@given(raw_sets, st.sampled_from([ORG_SCOPE, *PROPERTIES]), st.sampled_from(NUMBERS))
def test_a_row_is_visible_exactly_if_its_channel_is_in_the_grant(raw, scope, number) -> None:
    assert channels.contains(raw, scope, number) == ((scope, number) in written_out(raw))


@given(raw_sets, raw_sets)
def test_two_roles_together_show_what_either_shows(a, b) -> None:
    both = channels.union(a, b)
    assert written_out(both) == written_out(a) | written_out(b)
    assert both == channels.union(b, a) == channels.normal(both)


@given(raw_sets, raw_sets)
def test_what_two_grants_have_in_common_is_what_both_show(a, b) -> None:
    both = channels.common(a, b)
    assert written_out(both) == written_out(a) & written_out(b)
    assert both == channels.common(b, a) == channels.normal(both)


@given(raw_sets, raw_sets)
@example({SEA: 2}, {ALL_SCOPES: 2})
@example({ALL_SCOPES: 2}, {SEA: 2})
@example({ORG_SCOPE: 2}, {ALL_SCOPES: 2})
@example({ALL_SCOPES: 2}, {ORG_SCOPE: 2})
def test_a_new_role_fills_all_that_the_device_does_not_hold(held, now) -> None:
    """All of it, and no channel whole that is held already. Properties held one by one under a new
    "every property" are filled again with it: there is no channel "every property but".
    """
    new = channels.gained(held, now)
    missing = written_out(now) - written_out(held)
    assert missing <= written_out(new) <= written_out(now)
    named = {scope: mask for scope, mask in new.items() if scope != ALL_SCOPES}
    assert written_out(named) <= missing
    assert written_out(channels.union(held, new)) >= written_out(now)
    assert channels.gained(channels.union(held, new), now) == {}


@given(raw_sets, raw_sets)
def test_a_lost_role_leaves_no_row_behind(held, now) -> None:
    gone = channels.lost(held, now)
    assert written_out(held) - written_out(now) <= written_out(gone)
    assert channels.lost(held, held) == {}


@given(raw_sets)
def test_nothing_is_gained_or_lost_while_nothing_changes(raw) -> None:
    assert channels.gained(raw, raw) == channels.lost(raw, raw) == {}
    assert channels.union(raw, raw) == channels.common(raw, raw) == channels.normal(raw)
    assert channels.union(raw, {}) == channels.normal(raw)
    assert channels.common(raw, {}) == {}


@given(raw_sets, raw_sets, raw_sets)
def test_the_order_in_which_roles_are_added_does_not_matter(a, b, c) -> None:
    assert channels.union(channels.union(a, b), c) == channels.union(a, channels.union(b, c))
    assert channels.common(channels.common(a, b), c) == channels.common(a, channels.common(b, c))
    assert written_out(channels.common(a, channels.union(b, c))) == written_out(
        channels.union(channels.common(a, b), channels.common(a, c))
    )


@given(raw_sets, masks, st.none() | st.lists(st.sampled_from(PROPERTIES), max_size=5))
def test_a_device_that_asks_for_some_properties_gets_these_and_the_organisation(
    raw, mask, properties
) -> None:
    asked = channels.restrict(raw, mask, properties)
    places = PROPERTIES if properties is None else properties
    wanted = {
        (scope, n)
        for scope, n in written_out(raw)
        if mask & (1 << n) and (scope == ORG_SCOPE or scope in places)
    }
    assert written_out(asked) == wanted
    assert asked == channels.normal(asked)
    assert properties is None or ALL_SCOPES not in asked


@given(raw_sets, masks, st.lists(st.sampled_from([ALL_SCOPES, ORG_SCOPE, SEA]), max_size=3))
def test_asking_for_the_reserved_scopes_never_widens_a_grant(raw, mask, scopes) -> None:
    assert written_out(channels.restrict(raw, mask, scopes)) <= written_out(raw)


def test_the_first_and_the_last_collection_number_are_channels_like_all_others() -> None:
    grant = {SEA: 1 << 1 | 1 << 62}
    assert channels.contains(grant, SEA, 1)
    assert channels.contains(grant, SEA, 62)
    assert not any(channels.contains(grant, SEA, n) for n in range(2, 62))
    assert channels.numbers(grant[SEA]) == [1, 62]
    assert channels.numbers(0) == []


def test_a_role_at_every_property_does_not_show_the_organisations_own_rows() -> None:
    assert not channels.contains({ALL_SCOPES: 1 << 5}, ORG_SCOPE, 5)
    assert channels.lost({ORG_SCOPE: 1 << 5}, {ALL_SCOPES: 1 << 5}) == {ORG_SCOPE: 1 << 5}


def test_the_sets_given_are_left_as_they_were() -> None:
    left, right = {SEA: 2, ALL_SCOPES: 2}, {SEA: 4, HILL: 0}
    channels.union(left, right)
    channels.gained(left, right)
    channels.common(left, right)
    channels.restrict(left, 2, [SEA])
    assert left == {SEA: 2, ALL_SCOPES: 2}
    assert right == {SEA: 4, HILL: 0}
