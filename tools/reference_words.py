"""The words of the reference pages that no code holds: what fields, codes and limits mean to a reader.

`reference.py` puts them beside what the code says, and refuses to write a page from which a word is missing.
"""

from __future__ import annotations

from typing import Final

from hypernode.jobs import model
from hypernode.kernel.units import _BYTES, _MILLI_CPU, _SECONDS

STRUCTS: Final = (
    ("The document", model.JobDocument),
    ("`runtime`: Python", model.PythonRuntime),
    ("`runtime`: WebAssembly", model.WasmRuntime),
    ("`runtime`: Container", model.ContainerRuntime),
    ("`resources`", model.Resources),
    ("`resources.gpu`", model.Gpu),
    ("`retries`", model.Retries),
    ("`array`", model.Array),
    ("`network`", model.Network),
    ("`network.egress`", model.Destination),
    ("Artifact references", model.ArtifactRef),
)

FIELDS: Final = {
    "JobDocument.version": "The version of this format.",
    "JobDocument.runtime": "What to run; `type` tells which runtime: `python`, `wasm` or `container`.",
    "JobDocument.cap": "The most one task may cost, all its attempts together. So much per task is held at submission.",
    "JobDocument.name": "A name for people. Not unique.",
    "JobDocument.resources": "What one task may use.",
    "JobDocument.inputs": "Files the task reads: from the path below `/in` to the artifact. Read-only. No path may lie "
    "below another.",
    "JobDocument.outputs": "What is collected below `/out`: names, which must be there at the end, and patterns with "
    "`*`, `?` or `[…]`, which may match nothing. `*` crosses folders. With outputs the task starts in `/out`, else in "
    "`/tmp`.",
    "JobDocument.environment": "Environment variables. The network's own (below) win over these.",
    "JobDocument.timeout_s": "The longest an attempt's process may run. Preparation does not count.",
    "JobDocument.retries": "How often a task is tried again.",
    "JobDocument.isolation": "The least a node's sandbox must have proved: 0 nothing, 1 some limits, 2 every limit, "
    "3 a kernel of its own, as gVisor's or a virtual machine's.",
    "JobDocument.array": "Run the job as many tasks.",
    "JobDocument.network": "What the job needs of the network. Null: it has none. Not for WebAssembly.",
    "JobDocument.labels": "Your own words, to filter listings by.",
    "JobDocument.node_labels": "Labels a node must have, as its owner gave them (`node:init --label`), to run the job.",
    "JobDocument.priority": "Among the jobs of your project: each step is worth ten minutes of waiting. See "
    "[Matching](../matching.md).",
    "PythonRuntime.script": "A Python file, by its name in `inputs`. Exactly one of `script`, `module`, `code`.",
    "PythonRuntime.module": "A module to run, as `python -m` does.",
    "PythonRuntime.code": "Source to run, as `python -c` does.",
    "PythonRuntime.arguments": "Arguments of the program.",
    "PythonRuntime.requirements": "A lock with hashes, as `uv pip compile --generate-hashes` writes it. Installed from "
    "wheels only, outside the sandbox, and mounted read-only.",
    "WasmRuntime.module": "A WebAssembly core module, by its name in `inputs`: a WASI preview 1 command, which exports "
    "`_start` and `memory`. At most 64 MiB.",
    "WasmRuntime.arguments": "Arguments of the program. Before them it gets the module's name, as programs do.",
    "WasmRuntime.fuel": "The most it may execute; an instruction costs one, roughly. A task that has used it up ends "
    "with `out_of_fuel`. Null: only the timeout ends it.",
    "WasmRuntime.seed": "What its random bytes are made from, together with the task's index. Null: it gets none.",
    "ContainerRuntime.image": "The image, as `docker pull` takes it: `alpine:3.20`, `ghcr.io/owner/name@sha256:…`. A "
    "tag becomes the digest that its registry gives at submission: the document that is stored has both.",
    "ContainerRuntime.entrypoint": "What to run, in place of the image's own entry point and of its arguments. Null: "
    "the image's own.",
    "ContainerRuntime.arguments": "Arguments in place of the image's own. Null: the image's own, unless there is an "
    "`entrypoint`.",
    "ContainerRuntime.working_folder": "Where it starts; made if it is not there. Null: as the image says, and if that "
    "is `/`, in `/out` or, without outputs, in `/tmp`.",
    "ContainerRuntime.registry_secret": "The project's secret that opens the image's registry. Null: the image is "
    "public.",
    "Network.egress": "All that a task may reach, by way of the proxy that the variables `HTTP_PROXY` and "
    "`HTTPS_PROXY` name. Private, link-local and other special addresses are never reached, whatever a name resolves "
    "to.",
    "Network.egress_bytes": "The most a task may send and receive together.",
    "Network.ports": "Ports that a service listens on. The format has them; no node offers any yet, so such a job "
    "waits.",
    "Destination.host": "A name, an IP address, or `*.` and a name, which stands for every name below that one.",
    "Destination.port": "The port.",
    "Resources.cpu_milli": "Thousandths of a core.",
    "Resources.memory_bytes": "Memory. `/tmp` and `/dev/shm` count towards it; each is half as large. Of a WebAssembly "
    "module it is the linear memory alone.",
    "Resources.disk_bytes": "Size of `/out`, and the most that is collected from it.",
    "Resources.gpu": "GPUs. The format has them; no node offers one yet, so a job that asks for one waits.",
    "Gpu.count": "How many.",
    "Gpu.vram_bytes": "Memory each must have.",
    "Retries.infrastructure": "Attempts after the first when a node or the network failed. Lost attempts cost nothing.",
    "Retries.failures": "Attempts after the first when the job itself failed. Each one is paid, within the cap.",
    "Array.size": "How many tasks.",
    "Array.index_variable": "The environment variable that holds a task's index, from 0.",
    "ArtifactRef.sha256": "SHA-256 of the bytes, lower-case hex.",
    "ArtifactRef.size_bytes": "How many bytes.",
}

WORDS: Final = {
    "Name": "letters, digits, `.`, `_`, `-`; starts with a letter or digit",
    "VariableName": "letters, digits, `_`; does not start with a digit",
    "AbsolutePath": "absolute, no `.` or `..` parts",
    "ImageName": "an image's name",
    "HostPattern": "lower case",
    "RelativePath": "relative, no `.` or `..` parts, each part ≤ 255 bytes",
    "Sha256": "64 hex digits",
}
"""How constraints that are patterns are said to people."""

UNITS: Final = {
    "bytes": ("bytes", "`512MiB`", ", ".join(_BYTES)),
    "s": ("seconds", "`20m`", ", ".join(_SECONDS)),
    "milli_cpu": ("1/1000 core", "`1.5 cores`", ", ".join(unit for unit in _MILLI_CPU if unit)),
    "micro_hyper": ("µHYPER", "`0.5 HYPER`", "HYPER, uHYPER, µHYPER"),
}

EXAMPLE: Final = """\
version: 1
name: fit
runtime:
  type: python
  script: fit.py
  arguments: [--seed, "7"]
cap: 0.5 HYPER
resources:
  cpu_milli: 2 cores
  memory_bytes: 2GiB
  disk_bytes: 1GiB
inputs:
  fit.py:
    sha256: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
    size_bytes: 1024
outputs: [result.csv, plots/*.png]
timeout_s: 20m
retries:
  infrastructure: 3
array:
  size: 8
labels:
  project: solubility
"""

PROVIDED: Final = (
    ("HYPERNODE_IN", "`/in`"),
    ("HYPERNODE_OUT", "`/out`"),
    ("HYPERNODE_JOB_ID", "the job's id"),
    ("HYPERNODE_ATTEMPT", "number of the attempt, from 1"),
    ("HYPERNODE_ARRAY_SIZE", "of an array: how many tasks"),
    ("HYPERNODE_ARRAY_INDEX", "of an array: this task's index (or under the name `index_variable` gives)"),
)

GIVEN_BACK: Final = {
    "node.stopping": "The node is stopping, or its owner stopped it.",
    "node.restarted": "The node restarted while it ran the task.",
    "node.busy": "The node has no room after all.",
    "node.disk_full": "The node's disk is full.",
    "node.outputs_lost": "Collected outputs are gone from the node's disk.",
    "node.io_error": "The node's disk failed.",
    "node.too_slow": "Preparing took too long.",
    "node.no_runtime": "The node does not offer the job's runtime (any more).",
    "node.isolation": "The node has not proved the isolation that the job asks for.",
    "node.no_network": "The node lets no job out to the network (any more), or offers no ports.",
    "image.not_found": "The registry has no such image, or the document names none by digest. Final.",
    "image.denied": "The registry wants other credentials: set the project's secret anew. Final.",
    "image.tampered": "What the registry gave is not what the digest names.",
    "image.too_large": "The image is larger than the node takes. Final where it exceeds the limit of the network.",
    "image.unsupported": "The image has no variant for the node's machine, names no program, or cannot be unpacked.",
    "image.registry_unreachable": "The node cannot reach the image's registry.",
    "image.failed": "The image could not be had for another reason, such as the node's disk or its tools.",
    "job.bad_document": "The node cannot read the job document.",
    "cancelled": "Cancelled before it started.",
    "sandbox.failed": "The sandbox failed while the task ran.",
    "sandbox.unavailable": "This host cannot run the sandbox.",
    "sandbox.in_use": "Another agent works in this home.",
    "sandbox.prepare_failed": "The sandbox could not be prepared.",
    "sandbox.launcher_lost": "The process that starts the sandboxes has ended.",
    "sandbox.engine_lost": "The container engine does not answer any more.",
    "sandbox.no_network": "The sandbox cannot let this task out to the network.",
    "sandbox.task_unknown": "The sandbox does not know the task.",
    "sandbox.task_invalid": "The task cannot be run as asked, such as arguments that are too long together.",
    "environment.bad_lock": "The lock is not one with hashes, or is too large. Final: no other node is tried.",
    "environment.hash_mismatch": "A package has another hash than the lock says. Final.",
    "environment.no_wheel": "A package has no wheel for the nodes' Python. Final.",
    "environment.resolve_failed": "The node's package index has no such version.",
    "environment.install_failed": "Installing failed for another reason, such as the network, the disk or the time.",
    "wasm.bad_module": "The module is none, or cannot be run: an import that is not WASI's, or no `_start`. Final.",
    "wasm.compile_failed": "The module could not be compiled within the time and memory for it.",
}

CLOSINGS: Final = {
    "node.silent": "No Hello within 10 s.",
    "node.slow": "The node does not read what it is sent.",
    "node.replaced": "The node has connected again. Final: the older connection stays away.",
    "node.superseded": "The node is revoked, or connected to another coordinator.",
    "coordinator.stopping": "The coordinator is stopping.",
    "connection.ended": "The node ended the connection.",
    "server.error": "The coordinator made a mistake, which it has logged.",
}

HTTP: Final = {
    "http.method_not_allowed": (405, "This address does not take this method."),
    "http.not_acceptable": (406, "The answer is not to be had in the form asked for."),
    "http.unsupported_media_type": (415, "The body is of a type that is not taken."),
    "http.error": ("4xx", "Another refusal of the HTTP layer."),
}

LIMITS: Final = {
    "PAGE_ITEMS": "Items on one page of a listing.",
    "PAGE_ITEMS_DEFAULT": "Items on a page, if not said otherwise.",
    "IDEMPOTENCY_KEY_CHARS": "Length of an `Idempotency-Key`.",
    "DOCUMENT_BYTES": "A job document in canonical form.",
    "ARRAY_TASKS": "Tasks of one job.",
    "ARGUMENTS": "Arguments of the program.",
    "ARGUMENT_CHARS": "Length of an argument, or of an environment variable's value.",
    "CODE_CHARS": "Length of `runtime.code`.",
    "ENVIRONMENT_VARIABLES": "Environment variables of a job.",
    "LABELS": "Labels of a job or a node.",
    "INPUTS": "Inputs of a job.",
    "OUTPUT_PATTERNS": "Declared outputs of a job.",
    "PATH_CHARS": "Length of a path of an input or output.",
    "CPU_MILLI": "Processor time a task may ask for.",
    "MEMORY_BYTES": "Memory a task may ask for.",
    "DISK_BYTES": "Disk a task may ask for.",
    "GPUS": "GPUs a task may ask for.",
    "TIMEOUT_S": "Timeout of a job.",
    "PRIORITY": "Steps of priority, up and down.",
    "RETRIES": "Retries of each kind.",
    "WASM_MODULE_BYTES": "A WebAssembly module.",
    "WASM_FUEL": "Fuel of a WebAssembly task, and what it gets where its job names none.",
    "IMAGE_NAME_CHARS": "Length of an image's name, its digest included.",
    "EGRESS_DESTINATIONS": "Hosts a job may name.",
    "EGRESS_BYTES": "What a task may send and receive.",
    "SERVICE_PORTS": "Ports of a service.",
    "SECRETS_PER_PROJECT": "Secrets of one project.",
    "WASM_SEED": "The seed of a WebAssembly task's random bytes.",
    "STAKES_PER_PROJECT": "Stakes of one project that were not withdrawn.",
    "PROPOSALS_PER_PROJECT": "Proposals of one project that have not ended.",
    "ARTIFACT_BYTES": "One artifact.",
    "OUTPUT_FILES": "Files one task may deliver.",
    "OUTPUT_DEPTH": "Folders within folders that are looked through for outputs.",
    "UPLOADS_PER_PROJECT": "Uploads a project may have open.",
    "UPLOAD_IDLE_S": "After this long an upload nobody goes on with is forgotten.",
    "CHUNK_BYTES": "Piece in which artifacts are read and sent.",
    "LOG_CHUNK_BYTES": "Log bytes in one message of a node.",
    "FRAME_BYTES": "One frame between node and coordinator.",
    "MESSAGES_PER_FRAME": "Messages in one frame.",
    "RECEIPT_BYTES": "What a node signs about one attempt.",
    "NODE_NAME_CHARS": "Length of a node's name.",
    "HEARTBEAT_MS": "How often a node says that it is alive.",
    "BACKOFF_MS": "Delay before the first retry of a task; doubles with each.",
    "BACKOFF_MAX_MS": "The longest such delay.",
    "LEASE_TOKEN_S": "How long a token that a node mints for one lease is good.",
    "CLOCK_SKEW_S": "How far a node's clock may be off, for such tokens.",
    "JOIN_TOKEN_S": "How long a join token is good, if not said otherwise.",
    "FLUSH_ITEMS": "Writes that become one statement; larger batches are multiples of it.",
    "MATCH_PAGE": "Ranges of ready work that one pass of matching looks at.",
}
"""Words for bounds that have none in the code."""

HIDDEN: Final = {"KIB", "MIB", "GIB", "TIB"}
