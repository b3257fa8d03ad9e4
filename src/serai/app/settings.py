"""Settings: one struct makes the environment's names, the reference and the check.

Owns every choice of a deployment. Promises that a wrong value is named with its variable before
anything starts. Never reads a file: the environment is the one way in, and flags of a command
override it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from serai.core.limits import (
    METRICS_TOKEN_CHARS_MIN,
    POOL_CONNECTIONS_MAX,
    POOL_CONNECTIONS_MIN,
    SEGMENT_ROWS_DEFAULT,
    TOMBSTONE_HORIZON_DAYS,
)
from serai.gate.issuers import parse_issuers
from serai.http.services import HttpSettings
from serai.schema.database_url import fault_of

PREFIX: Final = "SERAI_"
ISSUER_DEFAULT: Final = "http://127.0.0.1:8642"
_LISTS: Final = ("cors_origins", "oidc_issuers")


class SettingsError(ValueError):
    """A setting is wrong. The message names the variable and says what it may be."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. The variable of `host` is `SERAI_HOST`, and so on."""

    directory_url: Annotated[
        str,
        Meta(description="PostgreSQL URL of the directory's database. `serai dev` makes its own."),
    ] = ""
    vertical: Annotated[
        str, Meta(description="The vertical to serve, as `package:NAME`.", pattern=r"[\w.]+:\w+")
    ] = "serai_hospitality:VERTICAL"
    host: Annotated[str, Meta(description="Address to listen on.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on.", ge=1, le=65535)] = 8642
    issuer: Annotated[
        str,
        Meta(
            description="Public URL of this installation; stands in access tokens as `iss`. The "
            "same for all processes. `serai dev` takes the address that it listens on.",
            min_length=1,
        ),
    ] = ISSUER_DEFAULT
    cors_origins: Annotated[
        list[str], Meta(description="Origins whose pages may call the API, separated by commas.")
    ] = []
    oidc_issuers: Annotated[
        list[str],
        Meta(
            description="OpenID Connect providers that users may sign in with, separated by "
            "commas; each is `issuer keys-url client-id [client-id ...] [@domain ...]`. Of e-mails "
            "in these domains, and no others, the provider may say whose they are."
        ),
    ] = []
    oidc_create_users: Annotated[
        bool,
        Meta(
            description="Make a user at the first sign-in with an e-mail that the provider has "
            "verified, in a domain that it may vouch for, and nobody here has."
        ),
    ] = False
    docs: Annotated[bool, Meta(description="Serve the API's pages at /docs.")] = True
    pool_min: Annotated[
        int, Meta(description="Connections kept to each shard.", ge=1, le=POOL_CONNECTIONS_MAX)
    ] = POOL_CONNECTIONS_MIN
    pool_max: Annotated[
        int, Meta(description="Connections at most to each shard.", ge=1, le=POOL_CONNECTIONS_MAX)
    ] = POOL_CONNECTIONS_MAX
    workers: Annotated[int, Meta(description="Processes of `serai serve`.", ge=1, le=256)] = 1
    tombstone_days: Annotated[
        int,
        Meta(
            description="Days that a device may be away and still be told what was deleted and "
            "changed. One that was away longer fetches everything anew.",
            ge=1,
            le=3_650,
        ),
    ] = TOMBSTONE_HORIZON_DAYS
    segment_rows: Annotated[
        int,
        Meta(
            description="Rows from which on a collection at a property is kept ready for new "
            "devices in compressed blocks; 0 for never.",
            ge=0,
            le=1_000_000_000,
        ),
    ] = SEGMENT_ROWS_DEFAULT
    outlet_url: Annotated[
        str,
        Meta(
            description="The bus of `serai outlet`: nats://host:4222/STREAM or "
            "kafka://host:9092/TOPIC, with what else it needs as user, password and query."
        ),
    ] = ""
    outlet_parallel: Annotated[
        int,
        Meta(
            description="Organisations of a shard that the outlet sends at the same time.",
            ge=1,
            le=256,
        ),
    ] = 16
    doorbell_url: Annotated[
        str,
        Meta(
            description="Where processes tell `serai live` of new versions: local:///run/serai is "
            "a folder of this machine. Empty: `serai live` looks by itself, once a second."
        ),
    ] = ""
    live_host: Annotated[
        str, Meta(description="Address on which `serai live` listens.", min_length=1)
    ] = "127.0.0.1"
    live_port: Annotated[int, Meta(description="Port of `serai live`.", ge=1, le=65535)] = 8644
    live_tables: Annotated[
        int, Meta(description="Processes of `serai live` that hold sockets.", ge=1, le=256)
    ] = 1
    log_level: Annotated[
        str, Meta(description="How much is logged: error, warning, info or debug.")
    ] = "info"
    log_format: Annotated[
        str,
        Meta(description="Form of log lines: json, text, or auto (text on a terminal, JSON else)."),
    ] = "auto"
    metrics_host: Annotated[
        str, Meta(description="Address on which metrics are shown.", min_length=1)
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, Meta(description="Port of /metrics and /top; 0 for none.", ge=0, le=65535)
    ] = 0
    metrics_token: Annotated[
        str,
        Meta(
            description="What a reader of metrics sends as `Authorization: Bearer ...`; needed "
            "on an address that others reach."
        ),
    ] = ""
    traces: Annotated[
        bool,
        Meta(
            description="Send traces by OpenTelemetry (serai[otel]) to where the OTEL_ variables "
            "say."
        ),
    ] = False

    @property
    def address(self) -> str:
        """Where this process is reached from its own machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not listened on
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def issued_by_itself(settings: Settings, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a process that is all there is of its installation: unless
    SERAI_ISSUER says otherwise, its tokens name the address that it listens on, also one that a
    flag chose. Several processes would refuse each other's tokens.
    """
    given = os.environ if environment is None else environment
    if variable("issuer") in given:
        return settings
    return msgspec.structs.replace(settings, issuer=settings.address)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def load_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Return the settings from the environment, with `overrides` that are not None on top.

    Raises:
        SettingsError: a variable has a wrong value, or is no setting at all (a mistyped name would
        be ignored silently).
    """
    given = os.environ if environment is None else environment
    values: dict[str, object] = {}
    names = {variable(name): name for name in Settings.__struct_fields__}
    for key, text in given.items():
        if not key.startswith(PREFIX) or key.startswith((PREFIX + "TEST_", PREFIX + "SIM_")):
            continue
        name = names.get(key)
        if name is None:
            known = ", ".join(sorted(names))
            raise SettingsError(f"{key} is not a setting. Settings: {known}.")
        values[name] = (
            [part.strip() for part in text.split(",") if part.strip()] if name in _LISTS else text
        )
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_explained(str(error))) from None
    fault = fault_of(settings.directory_url) if settings.directory_url else None
    if fault is not None:
        # The text is not shown: it may hold a password.
        raise SettingsError(f"{variable('directory_url')} is {fault}.")
    _check_lists(settings)
    if settings.pool_min > settings.pool_max:
        raise SettingsError(f"{variable('pool_min')} is above {variable('pool_max')}.")
    if settings.log_level not in ("error", "warning", "info", "debug"):
        raise SettingsError(f"{variable('log_level')} is error, warning, info or debug.")
    if settings.log_format not in ("auto", "json", "text"):
        raise SettingsError(f"{variable('log_format')} is auto, json or text.")
    _check_metrics(settings)
    return settings


def _check_lists(settings: Settings) -> None:
    """Refuse an entry of a list that is not of its form."""
    name = "cors_origins"
    try:
        HttpSettings(cors_origins=tuple(settings.cors_origins))
        name = "oidc_issuers"
        parse_issuers(settings.oidc_issuers)
    except ValueError as error:
        raise SettingsError(f"{variable(name)} is wrong: {error}.") from None


def _check_metrics(settings: Settings) -> None:
    """Refuse to show metrics to a network without a token."""
    token = settings.metrics_token
    if token and len(token) < METRICS_TOKEN_CHARS_MIN:
        raise SettingsError(
            f"{variable('metrics_token')} has less than {METRICS_TOKEN_CHARS_MIN} characters."
        )
    if settings.metrics_port and not token and not is_loopback(settings.metrics_host):
        raise SettingsError(
            f"{variable('metrics_host')} can be reached by others: "
            f"set {variable('metrics_token')}, or leave it at 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def describe(name: str) -> str:
    """Return what a setting means."""
    properties = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    return properties[name]["description"]


def _explained(message: str) -> str:
    """Return msgspec's message, the variable first and its meaning last."""
    reason, _, path = message.partition(" - at `$.")
    name = path.partition("`")[0].partition("[")[0]
    if name not in Settings.__struct_fields__:
        return message
    return f"{variable(name)} is wrong: {reason[:1].lower()}{reason[1:]}. {describe(name)}"
