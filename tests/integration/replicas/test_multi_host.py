"""URLs that name several servers, as of a cluster that Patroni manages: writes go to the one that
takes them.
"""

from __future__ import annotations

import pytest

from integration.replicas.cluster import SHARD, Cluster
from serai.schema.database import Options, connected, value
from serai.schema.database_url import fault_of
from serai.shard.pools import PinnedPool
from serai.shard.role import RequestRole

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_url_of_several_servers_leads_to_the_one_that_takes_writes(cluster: Cluster):
    primary = cluster.primary.url(SHARD)
    login, _, place = primary.partition("@127.0.0.1")
    first = f"@127.0.0.1:{cluster.copies[0].server.port},127.0.0.1"
    url = f"{login}{first}{place}?target_session_attrs=read-write"
    assert fault_of(url) is None
    role = RequestRole.of_url(primary)
    for each in (url, role.url(url)):
        async with PinnedPool(each, size_min=1) as pool, pool.connection() as c:
            assert await c.fetchval("SELECT pg_is_in_recovery()") is False
    async with connected(url, Options()) as conn:
        assert await value(conn, b"SELECT pg_is_in_recovery()") is False
