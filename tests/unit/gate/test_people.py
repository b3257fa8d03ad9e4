"""The one spelling of an e-mail address: what is the same mailbox, and what only looks like it."""

from __future__ import annotations

import sys

import pytest

from serai.gate.people import normal_email


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [
        (" Ana@EXAMPLE.org ", "ana@example.org"),
        ("\N{LATIN CAPITAL LETTER E WITH ACUTE}lodie@example.org", "\xe9lodie@example.org"),
        ("e\N{COMBINING ACUTE ACCENT}lodie@example.org", "\xe9lodie@example.org"),
        ("\u4e2d\u6587@example.org", "\u4e2d\u6587@example.org"),
    ],
)
def test_people_type_one_address_in_several_ways(typed: str, spelled: str):
    assert normal_email(typed) == spelled


@pytest.mark.parametrize(
    "other",
    [
        "boo\N{KELVIN SIGN}@example.org",
        "book@example\N{FULLWIDTH FULL STOP}org",
        "\N{FULLWIDTH LATIN SMALL LETTER B}ook@example.org",
        "\N{NO-BREAK SPACE}book@example.org",
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}ris@example.org",
        "\N{LATIN SMALL LETTER LONG S}am@example.org",
    ],
)
def test_another_mailbox_that_folds_into_ascii_is_no_address(other: str):
    assert normal_email(other) is None


def test_no_character_of_unicode_turns_into_an_ascii_address():
    turned = [
        code
        for code in range(128, sys.maxunicode + 1)
        if (normal_email(chr(code) + "@example.org") or "\xe9").isascii()
    ]
    assert turned == []
