"""Words of standards: what is listed is taken, what is not is refused with an example."""

from __future__ import annotations

import pytest

from serai.model import Known, known
from serai.model.fields import FieldError
from serai.model.known import EXAMPLES, words


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Known.CURRENCY, ("EUR", "GBP", "XOF", "HRK", "BGN"), ("ZZZ", "eur", "XXX", "XAU", "XDR")),
        (Known.COUNTRY_2, ("PT", "GB", "TP"), ("ZZ", "UK", "PRT", "pt")),
        (Known.COUNTRY, ("PRT", "CN", "TMP"), ("ZZZ", "EUR", "P", "")),
        (
            Known.TIME_ZONE,
            ("Europe/Lisbon", "America/Argentina/Ushuaia", "UTC"),
            ("Mars/Olympus", "EUR", "europe/lisbon", "../etc/passwd", "localtime", "Factory"),
        ),
    ],
)
def test_listed_words_are_taken_and_others_refused(kind, good, bad):
    parse = known("A word", kind).parser()
    assert [parse(word) for word in good] == list(good)
    for word in bad:
        with pytest.raises(FieldError):
            parse(word)


@pytest.mark.parametrize("kind", list(Known))
def test_every_word_of_a_list_is_one_of_its_field(kind):
    parse = known("A word", kind).parser()
    assert EXAMPLES[kind] in words(kind)
    assert all(parse(word) == word for word in words(kind))


def test_a_refusal_says_what_would_do():
    parse = known("Zone", Known.TIME_ZONE, optional=True).parser()
    assert parse(None) is None
    with pytest.raises(FieldError, match=r"^must be a time zone of IANA, such as Europe/Lisbon$"):
        parse("Mars/Olympus")
