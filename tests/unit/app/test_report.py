"""Answers of shards put together: totals, the largest, what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serai.app.report import Missing, Part, Share, Total, gathered
from serai.app.report_sql import Question

SUMMED = Question("revenues", "amount_minor", top=2)
_amounts = st.lists(
    st.tuples(st.sampled_from(["EUR", "USD"]), st.integers(-(10**12), 10**12)), max_size=12
)


def test_currencies_are_never_added() -> None:
    one = Part([Total("EUR", 2, 500), Total("USD", 1, 70)], [])
    other = Part([Total("EUR", 1, -100)], [])
    found = gathered(SUMMED, [one, other], moved=False)
    assert found.totals == [Total("EUR", 3, 400), Total("USD", 1, 70)]
    assert (found.shards, found.missing, found.partial) == (2, [], False)


def test_rows_are_counted_where_nothing_is_added() -> None:
    parts = [Part([Total(None, 2, None)], []), Part([], []), Part([Total(None, 5, None)], [])]
    found = gathered(Question("guests"), parts, moved=False)
    assert found.totals == [Total(None, 7, None)]


def test_a_shard_without_an_answer_makes_the_report_partial() -> None:
    gone = Missing("shard-2", "no answer within 1 s")
    found = gathered(SUMMED, [Part([Total("EUR", 1, 5)], []), gone], moved=False)
    assert (found.missing, found.partial, found.shards) == ([gone], True, 1)
    assert gathered(SUMMED, [], moved=True).partial


@given(_amounts)
def test_the_largest_of_all_are_the_largest_wherever_they_live(
    amounts: list[tuple[str, int]],
) -> None:
    """Organisations dealt over three shards, of which each gives its own two largest."""
    shares = [Share(n, currency, 1, amount) for n, (currency, amount) in enumerate(amounts)]

    def largest(of: list[Share]) -> list[Share]:
        ordered = sorted(of, key=lambda s: (s.currency or "", -(s.sum or 0), s.org_id))
        return [s for c in ("EUR", "USD") for s in [o for o in ordered if o.currency == c][:2]]

    parts = [
        Part([Total(s.currency, 1, s.sum) for s in shares[k::3]], largest(shares[k::3]))
        for k in range(3)
    ]
    found = gathered(SUMMED, parts, moved=False).top
    assert [(s.currency, s.sum) for s in found] == [(s.currency, s.sum) for s in largest(shares)]
