"""One primary with two replicas and two workers for these tests.

Owns their life. Promises that each test finds both replicas well: what a test broke it has mended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from integration.replicas.cluster import Cluster, a_cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[Cluster]:
    async with a_cluster() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(servers: Cluster) -> Cluster:
    """The cluster, with both replicas in use and nothing counted."""
    await servers.until_used("copy-1", "copy-2")
    servers.answered()
    return servers
