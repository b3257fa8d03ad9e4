"""A short chart of accounts, mapped to the schedules of USALI 12.

Owns the accounts that a new organisation begins with. The schedules are those of the Uniform System
of Accounts for the Lodging Industry, 12th edition; the accounts are Serai's own and fewer, for a
house that keeps its books with three people rather than thirty.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

SCHEDULES: Final = {
    1: "Rooms",
    2: "Food and Beverage",
    3: "Other Operated Departments",
    4: "Miscellaneous Income",
    5: "Administrative and General",
    6: "Information and Telecommunications Systems",
    7: "Sales and Marketing",
    8: "Property Operation and Maintenance",
    9: "Energy, Water, and Waste",
    10: "Management Fees",
    11: "Non-Operating Income and Expenses",
    12: "House Laundry",
    13: "Staff Dining",
    14: "Payroll-Related Expenses",
}


class Account(NamedTuple):
    """A line of the chart. `schedule` is a number of `SCHEDULES`."""

    code: str
    name: str
    kind: Literal["revenue", "expense"]
    schedule: int


CHART: Final = (
    Account("rooms", "Rooms", "revenue", 1),
    Account("food_beverage_sales", "Food and beverage sales", "revenue", 2),
    Account("other_departments", "Spa, parking and other departments", "revenue", 3),
    Account("miscellaneous_income", "Miscellaneous income", "revenue", 4),
    Account("rooms_supplies", "Rooms: supplies and commissions", "expense", 1),
    Account("food_beverage", "Food and beverage", "expense", 2),
    Account("admin_general", "Administration", "expense", 5),
    Account("travel", "Travel", "expense", 5),
    Account("it_telecom", "Information technology and telecommunication", "expense", 6),
    Account("sales_marketing", "Sales and marketing", "expense", 7),
    Account("property_ops", "Upkeep of the property", "expense", 8),
    Account("energy_water", "Energy, water and waste", "expense", 9),
    Account("management_fees", "Management fees", "expense", 10),
    Account("rent_tax_insurance", "Rent, property tax and insurance", "expense", 11),
    Account("laundry", "Laundry", "expense", 12),
    Account("staff_meals", "Staff meals", "expense", 13),
    Account("labour", "Agency staff, training and payroll-related", "expense", 14),
)
