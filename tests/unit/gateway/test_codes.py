"""Close codes: each error has one, in the range of its retry rule."""

from __future__ import annotations

from serai.core.errors import Code
from serai.gateway.codes import RANGES, close_code


def test_each_error_has_a_close_code_of_its_own_that_tells_its_rule() -> None:
    codes = {code: close_code(code) for code in Code}
    assert len(set(codes.values())) == len(codes)
    for code, number in codes.items():
        start = RANGES[code.kind.retry]
        assert start <= number < start + 200


def test_codes_that_are_published_keep_their_number() -> None:
    assert close_code(Code.ACCESS_EXPIRED) == 4442
    assert close_code(Code.UNAUTHENTICATED) == 4041
    assert close_code(Code.RATE_LIMITED) == 4327
    assert close_code(Code.TOKEN_INVALID) == 4681
