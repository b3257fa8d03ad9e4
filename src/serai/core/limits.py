"""Every bound of Serai, in one place, with the relations between bounds asserted.

Owns numbers only. A bound that is not here does not exist: code that needs one adds it here. Units
are in the names. Settings may lower a bound for a deployment, never raise it above these.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

BODY_BYTES_MAX: Final = 32 * MIB
"""One request body, counted while it streams and again after decompression."""
JSON_DEPTH_MAX: Final = 32
"""Nesting of a request body: deep enough for every schema, far below any parser's stack."""
JSON_PARTS_MAX: Final = 95_000
"""Members and items of a request body, all together: each costs a decoder about 200 B, whatever it
holds."""
PROBLEM_ERRORS_MAX: Final = 100
"""Faults that one problem lists; a body of a thousand unknown fields is told of so many."""
PROBLEM_NAME_CHARS_MAX: Final = 100
"""Of a field's name in a problem: it may be the caller's own, of any length."""
ROW_BYTES_MAX: Final = 64 * KIB
"""One row as finished JSON."""
TEXT_CHARS_MAX: Final = 4_000
"""A text field that declares no length of its own."""

WRITE_ROWS_MAX: Final = 200
"""Rows that one write (one version) may change: a page may exceed its size by one write at most."""
WRITE_READS_MAX: Final = 200
"""Rows in the read set of one write."""
COALESCE_WRITES_MAX: Final = 128
"""Writes of one transaction of the coalescer on the request path."""
COALESCE_CROWD: Final = 64
"""Writes that wait while a transaction is in flight before another one begins beside it: a
transaction costs as much as about twenty writes."""
COALESCE_WAIT_SECONDS_MAX: Final = 0.02
"""How long fewer than that wait for it."""
BULK_ROWS_MAX: Final = 2_000
"""Rows of one transaction of an import, which waits for nothing and nobody waits for."""
WRITE_ATTEMPTS_MAX: Final = 8
"""How often a write whose read set moved is decided again before it fails as contended."""
FREEZE_WAIT_SECONDS_MAX: Final = 2.0
"""How long a write waits for an organisation that is frozen for the last step of a move."""
FREEZE_LOOK_SECONDS: Final = 0.002
"""Between two looks at such an organisation."""
QUEUED_WRITES_MAX: Final = 10_000
"""Writes that may wait for a shard; one more is refused with `overloaded`."""

AUDIT_REASON_CHARS_MAX: Final = 500
"""Of the sentence why something was refused, in the audit record."""
DENIALS_PER_SECOND_MAX: Final = 5
"""Denied requests of an organisation that a process records one by one in a second; the others are
counted in one entry more."""
AUDIT_PAGE_ENTRIES: Final = 250
"""Entries of the audit record that are read at once, each with a row of 64 KiB at most."""

PAGE_ROWS_DEFAULT: Final = 100
PAGE_ROWS_MAX: Final = 5_000
PAGE_BYTES_MAX: Final = 4 * MIB
"""Bytes of change text after which a sync page ends, at the next boundary of a version."""
PAGE_SCAN_MAX: Final = 2_000
"""Log entries read for one page: at least this, whatever is delivered of them."""
TOKEN_BYTES_MAX: Final = 64 * KIB
"""A since-token as sent; 327 properties with a role each need 12 KiB."""
MUTATIONS_PER_PUSH_MAX: Final = 500
SYNC_COLLECTIONS_MAX: Final = 64
SYNC_PROPERTIES_MAX: Final = 1_000
"""Properties named at one collection of a pull; a token holds each at most twice, in 32 characters
each time."""

LIST_ROWS_DEFAULT: Final = 50
LIST_ROWS_MAX: Final = 500
FILTERS_MAX: Final = 10

COLLECTION_NUMBER_MAX: Final = 62
"""A channel set holds one bit for each collection in a signed 64-bit word."""
MONEY_MINOR_MAX: Final = 9_000_000_000_000_000
"""Minor units: below 2**53, so that every JSON reader keeps them exact."""
INTEGER_MAX: Final = 2**53 - 1
"""Integers on the wire: what a JavaScript reader keeps exact."""

IDEMPOTENCY_KEY_CHARS_MAX: Final = 200
IDEMPOTENCY_KEEP_HOURS: Final = 24
DEVICE_PAST_DAYS: Final = 400
"""How long the server can tell a mutation from another one that used its number: 8 bytes each, and
110 for those that a device made in a day."""
FOLD_PAGES_MAX: Final = 16_384
"""Pages of a day's replies, 128 MiB, that are folded into those hashes in one transaction."""
TOMBSTONE_HORIZON_DAYS: Final = 30
MARKS_MAX: Final = 40
"""Moments at which it was noted how far an organisation's log was, a day apart at least."""
FOLD_ROWS_MAX: Final = 1_000
"""Rows of a stretch of versions that is folded into one: a page that begins with it is that long.
"""
FOLD_BYTES_MAX: Final = 1 * MIB
"""Text of such a stretch."""
LOG_KEYS_MAX: Final = 4_000
"""Changes of a log that upkeep reads at once, without their texts."""
PRUNE_ROWS_MAX: Final = 5_000
"""Changes that upkeep deletes in one transaction."""
SEGMENT_ROWS_DEFAULT: Final = 5_000
"""Rows from which on a channel has segments: below that a new device is served in a few pages."""
SEGMENT_BLOCK_ROWS: Final = 500
"""Rows of a sealed block. Fewer compress worse, more make larger steps for a device that asks for
little: one that asks for less than a block gets rows."""
SEGMENT_BLOCK_BYTES: Final = 512 * KIB
"""Text after which a block is full, whatever rows it has."""
SEGMENT_BEHIND_MAX: Final = 4_000
"""Changes since a block was sealed that a page looks through for those of the block; with more
behind it the block is not used."""
SEGMENT_BEHIND: Final = 200
"""Versions by which segments may be behind before upkeep goes on with them."""

OUTLET_PART_BYTES_MAX: Final = 512 * KIB
OUTLET_MESSAGE_BYTES_MAX: Final = 1 * MIB
"""Changes in one message of the outlet, and all of it: what NATS and Kafka take by default."""
OUTLET_PAGE_BYTES_MAX: Final = 256 * KIB
"""Text that the outlet holds of an organisation, and one version more, however slow the bus is."""

LAPTOP_SHARDS_MAX: Final = 16
"""Of `serai dev`: each is a PostgreSQL."""
LAPTOP_REPLICAS_MAX: Final = 3
"""Of each shard of `serai dev`."""
POOL_CONNECTIONS_MIN: Final = 5
POOL_CONNECTIONS_MAX: Final = 50
POOL_WAIT_MS_MAX: Final = 250
REPLICA_WAIT_SECONDS_MAX: Final = 0.02
"""How long a read waits for a replica to reach the version it needs, before it asks the primary."""
REPLICA_ANSWER_SECONDS_MAX: Final = 0.25
"""How long a replica may take for a page or a list; then the primary is asked."""
REPLICA_LAG_SECONDS_MAX: Final = 1.0
"""A replica that is further behind gets no reads until it has caught up."""
REPLICA_BEAT_SECONDS: Final = 0.25
"""Between two heartbeats on a primary with replicas, and between two looks at them."""
REQUEST_DEADLINE_SECONDS: Final = 30
SILENCE_SECONDS_MAX: Final = 10
"""After this at the latest a client that keeps a connection and says nothing is gone."""
HEAD_SECONDS_MAX: Final = 8
"""What a connection may take until the head of its next request is whole: one that sends nothing,
or a header now and then, is closed. Idle connections kept alive are closed after this too."""
HEAD_BYTES_MAX: Final = 64 * KIB
"""Request line and headers together."""
BODY_STALL_SECONDS_MAX: Final = 8
"""Patience with a body: time uses it up, bytes that arrive give it back."""
DEADLINE_STEP_SECONDS: Final = 0.25
"""How much later than that, and than the deadline of its answer, a request may be ended."""
UPLOAD_BYTES_PER_SECOND_MIN: Final = 1 * KIB
"""What keeps the patience with a body as it is: a phone on the slowest network may finish, a client
that sends a byte now and then may not."""
BODIES_BYTES_MAX: Final = 256 * MIB
"""Bodies that a process holds at once; one that would exceed it is refused with `overloaded`."""
DRAIN_BYTES_MAX: Final = 2 * BODY_BYTES_MAX
"""Of a body that is refused, so many bytes are still taken and dropped: a client that is cut off
while it sends does not read why."""
UNPACK_ONCE_BYTES_MAX: Final = 1 * MIB
"""A body that unpacks to more is unpacked twice: counted first, so that one too large costs no
memory."""
FORM_BYTES_MAX: Final = 256 * KIB
"""A form of identity: 500 roles of an API key take a third of it. Strangers may send these."""
CONNECTIONS_MAX: Final = 16_384
"""Connections that a process holds, most of them idle; fewer if it may not open so many files."""
FILES_RESERVED: Final = 512
"""Files of a process that are not connections of clients: databases, logs, modules."""
QUERY_BYTES_MAX: Final = 32 * KIB
CURSOR_BYTES_MAX: Final = 24 * KIB
"""A list's cursor holds one value of the order field, at most a text of the longest kind."""
REQUEST_ID_CHARS_MAX: Final = 64
ZSTD_WINDOW_BYTES_MAX: Final = 8 * MIB
"""Memory of one decoder, as RFC 9659 asks of the content encoding."""

PASSWORD_CHARS_MIN: Final = 12
PASSWORD_CHARS_MAX: Final = 256
"""Enough for any manager of passwords; a hash function is not asked to digest a body."""
PASSWORD_WORKERS_MAX: Final = 2
"""Passwords hashed at once in a process: a flood of sign-ins takes this many cores and 46 MiB for
each, no more."""
PASSWORD_WAITING_MAX: Final = 64
"""Passwords that may wait to be hashed; one more sign-in is refused with `overloaded`."""
AUTHORIZATION_CHARS_MAX: Final = 2 * KIB
"""The header `Authorization`: an access token has about 400 characters."""
ACCESS_SECONDS: Final = 15 * 60
"""Life of an access token, and so the longest that a lost one works."""
CLOCK_SKEW_SECONDS_MAX: Final = 30
"""By how much the clocks of two servers may differ."""
ACCESS_CACHE_MAX: Final = 8_192
"""Verified access tokens remembered by a process, about 0.7 KiB each."""
REFRESH_SECONDS: Final = 30 * 24 * 3600
"""A refresh token that is not used for so long is worth nothing."""
SESSION_SECONDS_MAX: Final = 180 * 24 * 3600
"""After this a person signs in again, however often the device refreshed."""
REFRESH_GRACE_SECONDS: Final = 60
"""For so long after its use a refresh token gives the same answer again: the first one may have
been lost."""
REFRESH_GENERATIONS_KEPT: Final = 50
"""Used refresh tokens remembered in a session, to notice one that comes again."""
ID_TOKEN_CHARS_MAX: Final = 16 * KIB
"""An ID token of another issuer; one with many claims of its own has about 2,000 characters."""
ID_TOKEN_AGE_SECONDS_MAX: Final = 10 * 60
"""Since its issue: an app exchanges it at once. So long is remembered which ones were used."""
NONCE_VERIFIER_CHARS_MIN: Final = 43
"""As RFC 7636 has it for a code verifier: 256 bits in base64url."""
NONCE_VERIFIER_CHARS_MAX: Final = 128
OIDC_ISSUERS_MAX: Final = 20
JWKS_BYTES_MAX: Final = 64 * KIB
"""The keys of an issuer: 100 of the usual ones."""
JWKS_SECONDS_MAX: Final = 5
"""What an issuer may take to send its keys, all in all."""
JWKS_FRESH_SECONDS: Final = 10 * 60
"""How long an issuer's keys are used without asking; a key that it has withdrawn works so long."""
JWKS_STALE_SECONDS_MAX: Final = 60 * 60
"""How long they are used while the issuer does not answer."""
JWKS_AGAIN_SECONDS: Final = 30
"""Between two requests because of a key id that is not known, whether they fail or not."""
JWKS_RETRY_SECONDS: Final = 5
"""Between a request that failed and the next one because of a key that is known."""
IDENTITY_STALE_SECONDS_MAX: Final = 5
"""How long a process may act on an older view of grants, API keys and ended sessions."""
GRANTS_CACHE_MAX: Final = 8_192
API_KEY_CACHE_MAX: Final = 2_048
API_KEYS_PER_ORG_MAX: Final = 100
API_KEY_ROLES_MAX: Final = 500
SIGN_IN_BURST_PER_EMAIL: Final = 10
SIGN_IN_REFILL_SECONDS_PER_EMAIL: Final = 30
SIGN_IN_BURST_PER_ADDRESS: Final = 100
"""A hotel's devices share one address."""
SIGN_IN_REFILL_SECONDS_PER_ADDRESS: Final = 2
SIGN_IN_BUCKETS_MAX: Final = 20_000
"""E-mails, and addresses, whose attempts a process remembers."""

METRIC_SERIES_MAX: Final = 5_000
"""Series of metrics in a process: about 1,000 are used with 13 collections."""
METRICS_TOKEN_CHARS_MIN: Final = 16
METRIC_SEGMENT_BYTES: Final = 2 * MIB
"""Memory that a process shares with whoever answers `/metrics`, at most."""
TOP_ORGANISATIONS_KEPT: Final = 1_000
"""Organisations counted for each measure of the page of top organisations."""
TOP_ORGANISATIONS_SHOWN_MAX: Final = 100
TOP_WINDOW_SECONDS: Final = 300
LOG_LINES_WAITING_MAX: Final = 10_000
"""Log lines that may wait to be written; further ones are dropped and counted."""
LOG_FLUSH_SECONDS: Final = 0.05
"""How long a log line below warning may wait, so that many are written at once."""

COMPRESS_BYTES_MIN: Final = 1 * KIB
COMPRESS_SAVING_MIN: Final = 0.20
"""A compressed body is sent only when it is smaller than the plain one by this part."""

assert WRITE_ROWS_MAX <= BULK_ROWS_MAX, "an import's transaction holds at least one write"
assert FREEZE_LOOK_SECONDS < FREEZE_WAIT_SECONDS_MAX < REQUEST_DEADLINE_SECONDS, (
    "there is time to say that an organisation is frozen"
)
assert PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX, "the default page is a legal page"
assert ROW_BYTES_MAX <= PAGE_BYTES_MAX, "every row fits into a page"
assert PAGE_BYTES_MAX < BODY_BYTES_MAX, "a page fits into a body"
assert WRITE_ROWS_MAX * ROW_BYTES_MAX <= BODY_BYTES_MAX, (
    "a page with one write too many is still a body"
)
assert CURSOR_BYTES_MAX <= QUERY_BYTES_MAX, "a cursor fits into a query"
assert SYNC_PROPERTIES_MAX * 2 * 32 < TOKEN_BYTES_MAX, "what may be asked for fits into a token"
assert MONEY_MINOR_MAX <= INTEGER_MAX, "money is an integer of the wire"
assert POOL_CONNECTIONS_MIN <= POOL_CONNECTIONS_MAX, "the pool's range is not empty"
assert REPLICA_WAIT_SECONDS_MAX < REPLICA_ANSWER_SECONDS_MAX < REQUEST_DEADLINE_SECONDS, (
    "a read that a replica does not answer has time for the primary"
)
assert 2 * REPLICA_BEAT_SECONDS < REPLICA_LAG_SECONDS_MAX, "a late heartbeat is no lag"
assert WRITE_ROWS_MAX < PAGE_SCAN_MAX, "a page's scan holds at least one whole write"
assert PASSWORD_CHARS_MIN < PASSWORD_CHARS_MAX, "a password can be chosen"
assert REFRESH_GRACE_SECONDS < ACCESS_SECONDS, (
    "a device that refreshes in time is never in its own grace"
)
assert ACCESS_SECONDS < REFRESH_SECONDS < SESSION_SECONDS_MAX, (
    "each token outlives the one it gives"
)
assert (
    max(HEAD_SECONDS_MAX, BODY_STALL_SECONDS_MAX + DEADLINE_STEP_SECONDS) < SILENCE_SECONDS_MAX
), "there is time to answer"
assert BODY_STALL_SECONDS_MAX < REQUEST_DEADLINE_SECONDS, "a stalled body is told from slow work"
assert QUERY_BYTES_MAX * 2 <= HEAD_BYTES_MAX, "a query fits into a head, with its headers"
assert BODY_BYTES_MAX * 4 <= BODIES_BYTES_MAX, "several of the largest bodies fit at once"
assert FORM_BYTES_MAX < UNPACK_ONCE_BYTES_MAX < BODY_BYTES_MAX // 2, "most bodies unpack once"
assert SYNC_COLLECTIONS_MAX * SYNC_PROPERTIES_MAX + MUTATIONS_PER_PUSH_MAX * 60 <= JSON_PARTS_MAX, (
    "the largest pull inside the largest push is a legal body"
)
assert WRITE_ROWS_MAX <= FOLD_ROWS_MAX < LOG_KEYS_MAX, "one write is a stretch, and is read whole"
assert PAGE_BYTES_MAX + FOLD_BYTES_MAX + WRITE_ROWS_MAX * ROW_BYTES_MAX <= BODY_BYTES_MAX, (
    "a page with one stretch too many is still a body"
)
assert SEGMENT_BLOCK_BYTES + ROW_BYTES_MAX <= PAGE_BYTES_MAX, "a block fits into a page"
assert SEGMENT_BEHIND < SEGMENT_BEHIND_MAX, "segments are used while they are a little behind"
assert 2 * OUTLET_PART_BYTES_MAX <= OUTLET_MESSAGE_BYTES_MAX, "a part and a row are a message"
assert JWKS_SECONDS_MAX < REQUEST_DEADLINE_SECONDS, "there is time to say that an issuer is away"
assert JWKS_RETRY_SECONDS < JWKS_AGAIN_SECONDS < JWKS_FRESH_SECONDS < JWKS_STALE_SECONDS_MAX, (
    "each reason to ask an issuer again waits longer than the one before"
)
assert ID_TOKEN_CHARS_MAX < FORM_BYTES_MAX, "an ID token fits into a form"
assert IDEMPOTENCY_KEEP_HOURS < DEVICE_PAST_DAYS * 24, "hashes outlive the replies they come from"
assert CLOCK_SKEW_SECONDS_MAX < ACCESS_SECONDS, "a skewed clock does not refuse a fresh token"
