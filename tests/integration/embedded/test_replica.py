"""A replica of an embedded primary: what is committed there is read here, and it can take over."""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import psycopg
import pytest

from integration.embedded.processes import rows, words_of
from serai.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresSettings,
    EmbeddedReplica,
    Follows,
    StartFailed,
    set_synchronous,
)


@pytest.fixture
def settings(my_place):
    def of(name: str) -> EmbeddedPostgresSettings:
        return EmbeddedPostgresSettings(data_dir=my_place.path / name)

    return of


async def test_a_replica_shows_what_is_committed_and_refuses_writes(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        rows(primary.url(), "CREATE TABLE kept AS SELECT 1 AS n")
        follows = Follows(primary.url(), "replica_1")
        async with EmbeddedReplica(follows, settings("replica")) as replica:
            assert rows(replica.url()) == [(1,)]
            rows(primary.url(), "UPDATE kept SET n = 2")
            await replica.caught_up()
            assert rows(replica.url()) == [(2,)]
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                rows(replica.url(), "UPDATE kept SET n = 3")
            # For which organisation a statement reads is said in the statement: it must work here.
            setting = "SELECT set_config('serai.org', '7', true), current_setting('serai.org')"
            assert rows(replica.url(), setting) == [("7", "7")]


async def test_a_replica_that_was_away_catches_up_with_a_primary_at_another_port(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        rows(primary.url(), "CREATE TABLE kept AS SELECT 1 AS n")
        first = primary.port
        async with EmbeddedReplica(Follows(primary.url(), "replica_1"), settings("replica")):
            pass
        rows(primary.url(), "UPDATE kept SET n = 2")
    async with EmbeddedPostgres(settings("primary")) as primary:
        assert primary.port != first
        stages: list[str] = []
        follows = Follows(primary.url(), "replica_1")
        replica = EmbeddedReplica(follows, settings("replica"), on_stage=stages.append)
        async with replica:
            await replica.caught_up()
            assert rows(replica.url()) == [(2,)]
        assert "pg_basebackup" not in stages


async def test_a_commit_waits_for_a_synchronous_replica_and_survives_its_primary(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        rows(primary.url(), "CREATE TABLE kept AS SELECT 1 AS n")
        follows = Follows(primary.url(), "replica_1")
        async with EmbeddedReplica(follows, settings("replica")) as replica:
            await set_synchronous(primary.url(), ["replica_1"])
            rows(primary.url(), "UPDATE kept SET n = 2")
            psutil.Process(primary.pid).kill()
            assert await replica.is_replica()
            await replica.promote()
            await replica.promote()
            assert not await replica.is_replica()
            assert rows(replica.url()) == [(2,)]
            rows(replica.url(), "UPDATE kept SET n = 3")
        # Its old primary is gone, and it does not ask for it.
        async with EmbeddedReplica(follows, settings("replica")) as promoted:
            assert rows(promoted.url()) == [(3,)]


async def test_a_primary_does_not_wait_for_a_replica_that_does_not_stream(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        with pytest.raises(TimeoutError):
            await set_synchronous(primary.url(), ["replica_1"], seconds=0.2)
        await set_synchronous(primary.url(), [])
        rows(primary.url(), "CREATE TABLE kept AS SELECT 1 AS n")


async def test_a_replica_without_its_primary_says_what_to_do(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        follows = Follows(primary.url(), "replica_1")
        async with EmbeddedReplica(follows, settings("replica")):
            pass
    away = EmbeddedPostgresSettings(data_dir=settings("replica").data_dir, start_seconds_max=3.0)
    with pytest.raises(StartFailed, match="Start the primary first"):
        await EmbeddedReplica(follows, away).start()


async def test_nobody_else_reads_the_password_of_the_primary(settings):
    async with EmbeddedPostgres(settings("primary")) as primary:
        follows = Follows(primary.url(), "replica_1")
        async with EmbeddedReplica(follows, settings("replica")) as replica:
            server = psutil.Process(replica.pid)
            family = [server, *server.children(recursive=True)]
            seen = " ".join(words_of(each) for each in family)
            folder: Path = replica.data_dir
    assert follows.password not in seen
    assert follows.password not in repr(follows)
    assert stat.S_IMODE((folder / "data/serai-primary.pass").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "Replica", "a-b", "x" * 64, "a'b"])
def test_a_name_that_postgresql_does_not_take_is_refused(name):
    with pytest.raises(ValueError, match="no name of a replica"):
        Follows("postgresql://serai:x@127.0.0.1:5432/postgres", name)
