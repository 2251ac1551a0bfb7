"""Random demands, machines and asks."""

import msgspec
from hypothesis import strategies as st

from hypernode.kernel import limits
from hypernode.market.model import Demand
from hypernode.nodes.model import Ask, Capabilities, GpuInfo, SandboxOffer

demands = st.builds(
    Demand,
    runtime=st.sampled_from(["python", "wasm", "container"]),
    isolation=st.integers(0, 3),
    cpu_milli=st.sampled_from([10, 500, 1000, 3000]),
    memory_bytes=st.sampled_from([16, 100, 1000]),
    disk_bytes=st.sampled_from([0, 10, 1000]),
    gpus=st.integers(0, 2),
    vram_bytes=st.sampled_from([0, 8, 80]),
    timeout_s=st.sampled_from([1, 60]),
    remaining_cap=st.sampled_from([0, 100, 6000, limits.MICRO_HYPER]),
    egress=st.booleans(),
    ports=st.sampled_from([False, False, False, True]),
    labels=st.sampled_from([(), (), (("zone", "eu"),)]),
).map(lambda demand: demand if demand.gpus else msgspec.structs.replace(demand, vram_bytes=0))
machines = st.builds(
    Capabilities,
    cpu_milli=st.sampled_from([0, 1000, 4000]),
    memory_bytes=st.sampled_from([16, 1000, 2000]),
    disk_bytes=st.sampled_from([0, 1000]),
    gpus=st.lists(st.builds(GpuInfo, st.just("x"), st.sampled_from([0, 8, 80])), max_size=3).map(tuple),
    slots=st.integers(1, 4),
    sandboxes=st.lists(
        st.builds(
            SandboxOffer,
            name=st.just("s"),
            isolation=st.integers(0, 3),
            runtimes=st.sampled_from([("python",), ("python", "wasm"), ("python", "container"), ("container",), ()]),
            egress=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
    labels=st.sampled_from([{}, {"zone": "eu"}, {"zone": "us"}]),
)
asks = st.builds(Ask, st.sampled_from([0, 1, 100]), st.sampled_from([0, 5]))
