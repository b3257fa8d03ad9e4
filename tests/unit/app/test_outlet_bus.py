"""Which URLs are a bus, and what is said of those that are none."""

from __future__ import annotations

import pytest

from serai.adapters.kafka import KafkaBus
from serai.adapters.nats import NatsBus
from serai.app.outlet_bus import open_bus
from serai.app.settings import SettingsError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("nats://127.0.0.1:4222/SERAI", NatsBus),
        ("tls://me:secret@a:4222,b:4222/SERAI?subject=changes.of", NatsBus),
        ("kafka://127.0.0.1:1/serai.changes?socket.timeout.ms=1000", KafkaBus),
    ],
)
async def test_a_scheme_chooses_the_bus(url: str, kind: type):
    bus = open_bus(url)
    assert isinstance(bus, kind)
    await bus.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is not set to a bus"),
        ("nats://127.0.0.1:4222", "is not set to a bus"),
        ("nats://127.0.0.1:4222/two/parts", "is not set to a bus"),
        ("amqp://me:geheim@127.0.0.1/X", "there is no bus for amqp://"),
        ("nats://127.0.0.1/S?subject=a.>", "after the stream comes ?subject=NAME"),
        ("nats://me:geheim@127.0.0.1/S?stream=b", "after the stream comes ?subject=NAME"),
        ("kafka://me:geheim@127.0.0.1:1/T", "sasl.username and sasl.password in the query"),
        ("kafka://127.0.0.1:1/T?no.such.setting=1", "no.such.setting"),
    ],
)
async def test_a_url_that_is_none_is_refused_without_its_password(url: str, said: str):
    with pytest.raises(SettingsError) as refused:
        open_bus(url)
    assert said in str(refused.value)
    assert "SERAI_OUTLET_URL" in str(refused.value)
    assert "geheim" not in str(refused.value)
