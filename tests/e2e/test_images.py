"""Container images on a whole network: a tag, a private registry, and a login that leaves no trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.network import SMALL, Net, hypernode
from hypernode.client import container_job
from hypernode.jobs.model import ContainerRuntime
from registries import Registry, busybox

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the sandboxes' full strength needs Linux and root"
)


def test_a_tag_from_the_command_line(net: Net, registry: Registry, busybox_image: str, tmp_path: Path) -> None:
    name, _, digest = busybox_image.partition("@")
    here = {"HYPERNODE_URL": net.network.url, "HYPERNODE_API_KEY": net.network.client_key}
    (tmp_path / "my.txt").write_text("forty-two\n")
    options = ["--image", f"{name}:latest", "--input", f"in.txt={tmp_path}/my.txt", "--output", "copy.txt"]
    command = ["sh", "-c", "echo $GREETING; cp /in/in.txt copy.txt; exit 3"]
    done = hypernode("run", *options, "--workdir", "/out", "--out", str(tmp_path / "out"), "--", *command, **here)
    assert (done.returncode, done.stdout) == (3, "hello from the image\n"), done.stderr
    assert (tmp_path / "out" / "copy.txt").read_text() == "forty-two\n"
    assert digest in done.stderr, "what the tag stands for is said"
    job = json.loads(hypernode("jobs", "--json", **here).stdout)[0]
    document = net.client.job(job["id"]).document
    assert document is not None
    assert isinstance(document.runtime, ContainerRuntime)
    assert document.runtime.image == f"{name}:latest@{digest}"
    missing = hypernode("run", "--image", f"{registry.address}/tools/nothing", "--", "sh", **here)
    assert missing.returncode != 0
    assert "[image.not_found]" in missing.stderr


def test_a_private_image_needs_its_secret_and_leaves_no_trace_of_it(net: Net, locked_registry: Registry) -> None:
    assert locked_registry.login is not None
    username, password = locked_registry.login
    image = locked_registry.push("private/tool", busybox(), config={"Cmd": ["/bin/sh", "-c", "echo inside"]})
    # Under its digest, so that the node is the first to be refused.
    refused = net.run(container_job(image, cap="1 HYPER", timeout_s=60, resources=SMALL, retries={"infrastructure": 0}))
    assert refused.state != "succeeded"
    assert any("image.denied" in sentence for sentence in net.client.explain(refused.id).sentences)
    net.client.set_secret("mine", registry=locked_registry.address, username=username, password=password)
    job = container_job(image, registry_secret="mine", cap="1 HYPER", timeout_s=60, resources=SMALL)
    view = net.run(job)
    assert (view.state, net.output(view)) == ("succeeded", "inside\n"), net.client.explain(view.id).sentences
    # The image is on the node now. Who may not pull it gets it from there no more than from the registry.
    again = net.run(container_job(image, cap="1 HYPER", timeout_s=60, resources=SMALL, retries={"infrastructure": 0}))
    assert again.state != "succeeded"
    found = subprocess.run(
        ["grep", "-rlaF", "--exclude=*.py", "--exclude=*.pyc", password, str(net.network.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "", "the password is on a disk"
