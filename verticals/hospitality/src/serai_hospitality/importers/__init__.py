"""From files of other systems to records: pure functions, line by line.

Owns the meaning of a foreign file. A mapper takes one line and answers with finished rows, or with
the number of a bad line and the reason; it never stops the file. Rows are canonical, exactly as
`Field.parser()` spells them and as the rules would store them, and ids follow from the file's hash
and the line, so an import may be cut anywhere and run again. Never opens a file.
"""

from serai_hospitality.importers.hotel_bookings import BookingMapper, read_bookings
from serai_hospitality.importers.portfolio import Portfolio, portfolio
from serai_hospitality.importers.supplier_payments import (
    AccountRules,
    PaymentMapper,
    read_payments,
)

__all__ = [
    "AccountRules",
    "BookingMapper",
    "PaymentMapper",
    "Portfolio",
    "portfolio",
    "read_bookings",
    "read_payments",
]
