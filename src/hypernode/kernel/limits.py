"""Every bound in one place. A bound that is not here is a bug: nothing that comes from outside may be unbounded."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB

# HTTP
BODY_BYTES: Final = 8 * MIB
"""A JSON body. Artifacts travel as raw streams and are bounded by ARTIFACT_BYTES instead."""
YAML_BODY_BYTES: Final = 32 * KIB
"""A job document in YAML over HTTP. Reading YAML takes 3 µs a byte, during which nothing else is answered."""
PAGE_ITEMS: Final = 200
PAGE_ITEMS_DEFAULT: Final = 50
BATCH_JOBS: Final = 1000
"""Jobs in one batch submission."""
IDEMPOTENCY_KEY_CHARS: Final = 128
STREAMS_PER_PROJECT: Final = 256
"""Server-sent event streams open at once."""

# job documents
DOCUMENT_BYTES: Final = 256 * KIB
ARRAY_TASKS: Final = 100_000
ARGUMENTS: Final = 256
ARGUMENT_CHARS: Final = 32 * KIB
CODE_CHARS: Final = 64 * KIB
ENVIRONMENT_VARIABLES: Final = 128
LABELS: Final = 32
INPUTS: Final = 1024
OUTPUT_PATTERNS: Final = 64
PATH_CHARS: Final = 512
CPU_MILLI: Final = 1_024_000
MEMORY_BYTES: Final = 16 * TIB
DISK_BYTES: Final = 64 * TIB
GPUS: Final = 64
TIMEOUT_S: Final = 30 * 24 * 3600
PRIORITY: Final = 9
"""Priorities go from -9 to 9."""
RETRIES: Final = 20
WASM_MODULE_BYTES: Final = 64 * MIB
WASM_FUEL: Final = 2**53 - 1
"""Fuel of a WebAssembly task where its job names none: at a billion a second a hundred days, so that its timeout
comes first."""
WASM_SEED: Final = 2**53 - 1
IMAGE_NAME_CHARS: Final = 512
EGRESS_DESTINATIONS: Final = 64
EGRESS_BYTES: Final = 1 * TIB
SERVICE_PORTS: Final = 16

# container images
IMAGE_MANIFEST_BYTES: Final = 4 * MIB
"""The manifest, the index or the configuration of a container image, as registries bound them, too."""
IMAGE_LAYERS: Final = 127
"""Layers of a container image."""
IMAGE_BYTES: Final = 32 * GIB
"""A container image: its layers together as they travel, and its files together once unpacked."""
IMAGE_FILES: Final = 1_000_000
"""Files and folders of a container image."""

# secrets
SECRET_CHARS: Final = 8 * KIB
"""A password or token; registries hand out tokens of several KiB."""
SECRETS_PER_PROJECT: Final = 100

# governance
ACTS_PER_PROJECT: Final = 32
"""Acts of one project that may wait for their turn at a coordinator."""
STAKES_PER_PROJECT: Final = 1000
PROPOSALS_PER_PROJECT: Final = 100
REPORTS_PER_STAKE: Final = 65_535
"""Open reports of one stake; each holds a bond."""

# artifacts and outputs
ARTIFACT_BYTES: Final = 64 * GIB
LOCK_BYTES: Final = 4 * MIB
"""A requirements lock."""
OUTPUT_FILES: Final = 1000
OUTPUT_DEPTH: Final = 16
UPLOADS_PER_PROJECT: Final = 1000
UPLOAD_IDLE_S: Final = 24 * 3600
CHUNK_BYTES: Final = 1 * MIB

# logs
LOG_BYTES: Final = 16 * MIB
"""Log of one attempt, frames included; a job that writes more is ended with `log_limit`."""
LOG_CHUNK_BYTES: Final = 64 * KIB
LOG_WINDOW_BYTES: Final = 1 * MIB
"""Log bytes a node may send for one lease before the coordinator has acknowledged them."""

# protocol between coordinator and node
FRAME_BYTES: Final = 4 * MIB
MESSAGES_PER_FRAME: Final = 1024
RECEIPT_BYTES: Final = 512 * KIB
NODE_LEASES: Final = 1024
"""Leases one node may hold."""
NODE_NAME_CHARS: Final = 64

# leases (milliseconds, by the database's clock)
LEASE_MS: Final = 30_000
"""How long a lease lasts without a heartbeat of its node."""
HEARTBEAT_MS: Final = 2_000
EVIDENCE_GAP_MS: Final = 30_000
"""The longest stretch between two signs of life that still counts as evidence of running (economics: ≤ 90 s)."""
RESTART_GRACE_MS: Final = 60_000
"""How far leases are extended when a coordinator starts and none was there to renew them."""
PREPARE_MS: Final = 30 * 60_000
"""Fetching inputs and building an environment may take this long before the attempt counts as lost."""
REPORT_GRACE_MS: Final = 10 * 60_000
"""From the end of the job's timeout to the latest acceptable report (collecting and uploading outputs)."""
BACKOFF_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 60_000
LEASE_TOKEN_S: Final = 300
CLOCK_SKEW_S: Final = 120
JOIN_TOKEN_S: Final = 24 * 3600

# coordinator
ANSWERS_S: Final = 7 * 24 * 3600
"""How long an Idempotency-Key is remembered."""
FLUSH_ITEMS: Final = 64
QUEUE_ITEMS: Final = 20_000
"""Writes waiting to be coalesced before callers are told to slow down."""
MATCH_PAGE: Final = 256
RESOLVE_S: Final = 20.0
"""How long a submission may wait for registries to say what tags stand for."""
RESOLUTIONS_PER_PROJECT: Final = 8
"""Tags that registries are asked about at once for one project."""
POLL_S: Final = 1.0
"""The truth behind every wake-up hint."""
MICRO_HYPER: Final = 2**53 - 1
"""No amount of money is larger; canonical JSON can still write it exactly (the supply is 10^15)."""
