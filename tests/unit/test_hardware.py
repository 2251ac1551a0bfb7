"""Hardware is detected without ever failing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypernode.agent import hardware


def test_this_machine_is_described(tmp_path: Path) -> None:
    found = hardware.detect(tmp_path / "not" / "there" / "yet")
    assert found.cpu_count >= 1
    assert found.cpu_model
    assert found.memory_bytes > 64 << 20
    assert found.disk_free_bytes > 0
    assert found.architecture == os.uname().machine
    assert found.python_version.startswith("3.")


def test_gpus_are_read_from_the_drivers_tool(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo 'GPU-1, NVIDIA H100 80GB HBM3, 81559, 535.104, 9.0'\n"
        "echo 'GPU-2, Tesla, K80, 1, 2, 3, 4'\n"
        "echo 'GPU-3, Broken, [N/A], 535.104, [N/A]'\n"
        "echo 'GPU-4, Old, 2048, 390.1, [N/A]'\n"
    )
    tool.chmod(0o755)
    first, second = hardware.nvidia_gpus(str(tool))
    assert first == hardware.Gpu(
        vendor="nvidia",
        uuid="GPU-1",
        model="NVIDIA H100 80GB HBM3",
        memory_bytes=81559 << 20,
        driver="535.104",
        compute_capability="9.0",
    )
    assert (second.uuid, second.compute_capability) == ("GPU-4", "")


@pytest.mark.parametrize("script", ["exit 9", "sleep 5", "printf '\\377\\376,,,\\n'", "kill -9 $$"])
def test_a_driver_in_trouble_means_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(hardware, "NVIDIA_S", 0.3)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert hardware.nvidia_gpus(str(tool)) == ()
    assert hardware.nvidia_gpus(str(tmp_path / "missing")) == ()


@pytest.mark.parametrize(
    ("information", "model"),
    [
        ("processor : 0\nmodel name\t: AMD  EPYC\nmodel name\t: other", "AMD EPYC"),
        ("processor : 0\nHardware\t: BCM2835", "BCM2835"),
    ],
)
def test_cpu_model(information: str, model: str) -> None:
    assert hardware.cpu_model(information) == model


def test_a_processor_without_a_name_still_has_one() -> None:
    assert hardware.cpu_model("")
