"""Values of the project's types, drawn at random."""

import string

from hypothesis import strategies as st
from msgspec.structs import replace

from hypernode.jobs.model import (
    Array,
    ArtifactRef,
    ContainerRuntime,
    Destination,
    Gpu,
    JobDocument,
    Network,
    PythonRuntime,
    Resources,
    Retries,
    WasmRuntime,
)
from hypernode.kernel import limits
from hypernode.ledger.receipt import Decision, Outcome, OutputFile, ReceiptBody, Run, Split, Traffic, Work
from hypernode.nodes.model import Ask, Capabilities, Failure, GpuInfo, SandboxOffer

safe = 2**53 - 1
alphanumeric = string.ascii_letters + string.digits
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
variables = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
parts = st.text(alphanumeric + "_-+ é漢", min_size=1, max_size=12)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
references = st.builds(ArtifactRef, hashes, st.integers(0, limits.ARTIFACT_BYTES))
runtimes = st.builds(
    PythonRuntime,
    code=words,
    arguments=st.lists(words, max_size=4).map(tuple),
    requirements=st.none() | references,
) | st.builds(PythonRuntime, module=st.just("json.tool"))
resources = st.builds(
    Resources,
    cpu_milli=st.integers(10, limits.CPU_MILLI),
    memory_bytes=st.integers(16 * limits.MIB, limits.MEMORY_BYTES),
    disk_bytes=st.integers(0, limits.DISK_BYTES),
    gpu=st.none() | st.builds(Gpu, st.integers(1, limits.GPUS), st.integers(0, limits.MEMORY_BYTES)),
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
host_names = st.builds(
    lambda parts, last: ".".join([*parts, last]),
    st.lists(labels, max_size=3),
    labels.filter(lambda text: text[0] > "9"),
)
hosts = st.builds("{}{}".format, st.sampled_from(["", "*."]), host_names) | st.ip_addresses().map(str).filter(
    lambda text: not text.startswith("::ffff:")
)
destinations = st.builds(Destination, hosts, st.integers(1, 65535))
networks = st.builds(
    Network,
    egress=st.lists(destinations, min_size=1, max_size=3, unique=True).map(tuple),
    egress_bytes=st.integers(1, limits.EGRESS_BYTES),
    ports=st.lists(st.integers(1, 65535), max_size=2, unique=True).map(tuple),
)
image_parts = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True)
registries = st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "127.0.0.1:5000", "[::1]:443", "R.example"])
images = st.builds(
    "{}/{}{}{}".format,
    registries,
    st.lists(image_parts, min_size=1, max_size=3).map("/".join),
    st.just("") | st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.just("") | hashes.map("@sha256:{}".format),
)


def _free(inputs: dict[str, ArtifactRef]) -> bool:
    return not any(a != b and b.startswith(a + "/") for a in inputs for b in inputs)


_python_documents = st.builds(
    JobDocument,
    version=st.just(1),
    runtime=runtimes,
    cap=st.integers(0, limits.MICRO_HYPER),
    name=names,
    resources=resources,
    inputs=st.dictionaries(paths, references, max_size=3).filter(_free),
    outputs=st.lists(paths, max_size=3).map(tuple),
    environment=st.dictionaries(variables, words, max_size=3),
    timeout_s=st.integers(1, limits.TIMEOUT_S),
    retries=st.builds(Retries, st.integers(0, limits.RETRIES), st.integers(0, limits.RETRIES)),
    isolation=st.integers(0, 3),
    array=st.none() | st.builds(Array, st.integers(1, limits.ARRAY_TASKS), variables),
    network=st.none() | networks,
    labels=st.dictionaries(names, words, max_size=3),
)
_wasm_documents = st.builds(
    lambda document, name, module, runtime: replace(
        document, inputs={name: module}, runtime=replace(runtime, module=name), network=None
    ),
    _python_documents,
    paths,
    st.builds(ArtifactRef, hashes, st.integers(0, limits.WASM_MODULE_BYTES)),
    st.builds(
        WasmRuntime,
        module=paths,
        arguments=st.lists(words, max_size=4).map(tuple),
        fuel=st.none() | st.integers(1, limits.WASM_FUEL),
        seed=st.none() | st.integers(0, limits.WASM_SEED),
    ),
)
_container_documents = st.builds(
    lambda document, runtime: replace(document, runtime=runtime),
    _python_documents,
    st.builds(
        ContainerRuntime,
        image=images,
        entrypoint=st.none() | st.builds(lambda first, rest: (first, *rest), words.filter(bool), st.lists(words)),
        arguments=st.none() | st.lists(words, max_size=4).map(tuple),
        working_folder=st.none() | st.just("/") | paths.map("/{}".format),
        registry_secret=st.none() | names,
    ),
)
documents = _python_documents | _wasm_documents | _container_documents

amounts = st.integers(0, limits.MICRO_HYPER)
asks = st.builds(Ask, amounts, amounts)
capabilities = st.builds(
    Capabilities,
    cpu_milli=st.integers(0, limits.CPU_MILLI),
    memory_bytes=st.integers(0, limits.MEMORY_BYTES),
    disk_bytes=st.integers(0, limits.DISK_BYTES),
    gpus=st.lists(st.builds(GpuInfo, words, st.integers(0, limits.MEMORY_BYTES)), max_size=3).map(tuple),
    slots=st.integers(1, limits.NODE_LEASES),
    sandboxes=st.lists(
        st.builds(
            SandboxOffer,
            name=words.filter(bool),
            isolation=st.integers(0, 3),
            runtimes=st.lists(words, max_size=3).map(tuple),
            egress=st.booleans(),
            failed=st.lists(st.builds(Failure, words, words), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    labels=st.dictionaries(words, words, max_size=2),
)

counts = st.integers(0, safe)
bodies = st.builds(
    ReceiptBody,
    work=st.builds(
        Work,
        job=hashes,
        task=counts,
        outcome=st.sampled_from(Outcome),
        exit_code=st.none() | st.integers(0, 255),
        signal=st.none() | st.integers(1, 128),
        outputs=st.lists(st.builds(OutputFile, paths, hashes, st.integers(0, limits.ARTIFACT_BYTES)), max_size=3).map(
            tuple
        ),
    ),
    run=st.builds(
        Run,
        job_id=st.uuids().map(str),
        epoch=st.integers(1, 2**31 - 1),
        node=st.just(""),
        started_at_ms=counts,
        ended_at_ms=counts,
        wall_ms=counts,
        cpu_ms=counts,
        memory_peak_bytes=counts,
        log_bytes=st.integers(0, limits.LOG_BYTES),
        log_root=hashes,
        sandbox=words,
        isolation=st.integers(0, 3),
        fuel=st.none() | counts,
        egress=st.none() | st.builds(Traffic, sent_bytes=counts, received_bytes=counts),
    ),
)
splits = st.builds(Split, price=counts, operator=counts, treasury=counts, incentive=counts, stakers=counts)
decisions = st.builds(
    Decision,
    accepted_at_ms=counts,
    billed_ms=counts,
    rate_per_second=counts,
    fixed=counts,
    split=splits,
    coordinator=st.just(""),
)
