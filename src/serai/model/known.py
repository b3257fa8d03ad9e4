"""Words that a standard lists: currencies, countries, time zones.

Owns the lists, made once and on first use: ISO 4217 and ISO 3166-1 from `pycountry`, with what
they listed before, since books are older than the lists; the time zones of IANA from the system
and from `tzdata`. Never holds names for people.
"""

from __future__ import annotations

import zoneinfo
from enum import Enum
from functools import cache
from typing import Any, Final, assert_never

_FORMER_CURRENCIES: Final = (
    *("ATS", "BEF", "DEM", "ESP", "FIM", "FRF", "GRD", "IEP", "ITL", "LUF", "NLG", "PTE"),
    *("BGN", "CYP", "EEK", "HRK", "LTL", "LVL", "MTL", "SIT", "SKK"),
    *("ANG", "AZM", "BYR", "CUC", "GHC", "MRO", "MZM", "ROL", "SDD", "SLL", "STD", "TMM", "TRL"),
    *("VEB", "VEF", "ZMK", "ZWD", "ZWL"),
)
"""Money of the years since 1999 that was replaced."""
_OF_COUNTRIES: Final = frozenset({"XAF", "XCD", "XCG", "XOF", "XPF"})
"""Of the codes with X, those that are paid with; the others are metals, funds and tests."""
_NO_ZONES: Final = frozenset({"Factory", "localtime"})
"""What a machine calls its own zone; another machine has another one."""


class Known(Enum):
    """What the words of a field are; the value tells people."""

    CURRENCY = "a currency of ISO 4217"
    COUNTRY_2 = "a country of ISO 3166-1 in two letters"
    COUNTRY = "a country of ISO 3166-1 in three letters or two"
    TIME_ZONE = "a time zone of IANA"


EXAMPLES: Final = {
    Known.CURRENCY: "EUR",
    Known.COUNTRY_2: "PT",
    Known.COUNTRY: "PRT",
    Known.TIME_ZONE: "Europe/Lisbon",
}
"""A word of each list."""


@cache
def words(known: Known) -> frozenset[str]:
    """Return every word of the list."""
    match known:
        case Known.CURRENCY:
            return _currencies()
        case Known.COUNTRY_2:
            return _countries()[0]
        case Known.COUNTRY:
            return frozenset[str]().union(*_countries())
        case Known.TIME_ZONE:
            return frozenset(zoneinfo.available_timezones() - _NO_ZONES)
        case _:
            assert_never(known)


def _currencies() -> frozenset[str]:
    import pycountry  # noqa: PLC0415 - it takes 80 ms, and commands that judge no value need none of it

    listed: list[Any] = [*pycountry.currencies]
    found: set[str] = {each.alpha_3 for each in listed}
    paid = {code for code in found if code[0] != "X" or code in _OF_COUNTRIES}
    return frozenset(paid.union(_FORMER_CURRENCIES))


def _countries() -> tuple[frozenset[str], frozenset[str]]:
    """Return (codes of two letters, codes of three), those of countries that were, too."""
    import pycountry  # noqa: PLC0415 - as above

    listed: list[Any] = [*pycountry.countries, *pycountry.historic_countries]
    return frozenset(c.alpha_2 for c in listed), frozenset(c.alpha_3 for c in listed)
