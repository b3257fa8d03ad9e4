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
_NO_CURRENCIES: Final = frozenset({"XTS", "XXX"})
"""For tests, and for no currency."""


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
    import pycountry  # noqa: PLC0415 - it takes 80 ms, and commands that judge no value need none of it

    countries = [*pycountry.countries, *pycountry.historic_countries]
    match known:
        case Known.CURRENCY:
            listed: list[Any] = [*pycountry.currencies]
            found: set[str] = {each.alpha_3 for each in listed}
            return frozenset(found.union(_FORMER_CURRENCIES) - _NO_CURRENCIES)
        case Known.COUNTRY_2:
            return frozenset(each.alpha_2 for each in countries)
        case Known.COUNTRY:
            short = {each.alpha_2 for each in countries}
            return frozenset(short.union(each.alpha_3 for each in countries))
        case Known.TIME_ZONE:
            return frozenset(zoneinfo.available_timezones())
        case _:
            assert_never(known)
