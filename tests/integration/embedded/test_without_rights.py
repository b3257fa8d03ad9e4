"""An ordinary user in front of a folder or a file without the right to it: the error names both.

Root has every right, so that these run as an ordinary user, whoever runs the suite.
"""

from __future__ import annotations

import pytest


def test_a_folder_without_rights_is_refused_with_the_right_that_is_missing(
    callers, closed_to_owner
):
    user, home = closed_to_owner
    home.chmod(0)
    refusal = callers(user).failed(home)
    assert refusal.kind == "DataDirectoryUnusable"
    assert "Permission denied" in refusal.text
    assert f"Give user {user.uid} the right" in refusal.text
    home.chmod(0o700)


@pytest.mark.parametrize("name", ["password", "server.log", "serai-postgres.lock", "data"])
def test_a_file_without_rights_is_refused_by_its_name(callers, closed_to_owner, name):
    user, home = closed_to_owner
    mode = (home / name).stat().st_mode
    (home / name).chmod(0)
    refusal = callers(user).failed(home)
    (home / name).chmod(mode)
    assert refusal.kind == "DataDirectoryUnusable"
    assert f"Permission denied ({home / name}" in refusal.text


def test_a_folder_that_cannot_be_made_is_refused(callers, closed_to_owner):
    user, home = closed_to_owner
    home.chmod(0o500)
    refusal = callers(user).failed(home / "new")
    home.chmod(0o700)
    assert refusal.kind == "DataDirectoryUnusable"
    assert "Permission denied" in refusal.text
