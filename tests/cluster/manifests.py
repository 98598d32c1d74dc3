"""What lies in cluster/kuberay, as it is and as Kustomize builds it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
KUBERAY = CLUSTER / "kuberay"
JOBS = ("score", "train")
OVERLAYS = tuple(f"overlays/{overlay}/{job}" for overlay in ("deletion-rules", "kueue") for job in JOBS)
EVERYTHING = ("base", *OVERLAYS)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def written(kind: str) -> Iterator[dict[str, Any]]:
    """All objects of a kind, patches as well, as they lie in the files."""
    for path in sorted(KUBERAY.rglob("*.yaml")):
        yield from (found for found in documents(path) if isinstance(found, dict) and found.get("kind") == kind)


@cache
def built(folder: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would apply."""
    for program, *options in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(program):
            done = subprocess.run([program, *options, KUBERAY / folder], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return list(yaml.safe_load_all(done.stdout))
    pytest.skip("neither kustomize nor kubectl is on PATH: the overlays cannot be built")


def one(folder: str, kind: str) -> dict[str, Any]:
    [found] = [each for each in built(folder) if each["kind"] == kind]
    return found


def cluster_spec(folder: str) -> dict[str, Any]:
    spec: dict[str, Any]
    spec = one(folder, "RayCluster")["spec"] if folder == "base" else one(folder, "RayJob")["spec"]["rayClusterSpec"]
    return spec


def groups(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The head's group and those of the workers, by name."""
    return {"head": spec["headGroupSpec"], **{group["groupName"]: group for group in spec["workerGroupSpecs"]}}


def pods(folder: str) -> dict[str, dict[str, Any]]:
    """The templates of all pods, by the name of their group."""
    templates = {name: group["template"] for name, group in groups(cluster_spec(folder)).items()}
    if folder != "base":
        templates["submitter"] = one(folder, "RayJob")["spec"]["submitterPodTemplate"]
    return templates


def num_bytes(amount: str) -> int:
    for suffix, unit in (("Mi", 2**20), ("Gi", 2**30)):
        if amount.endswith(suffix):
            return int(amount.removesuffix(suffix)) * unit
    return int(amount)


def problems(schema: Path, found: dict[str, Any]) -> list[str]:
    """Where an object breaks the schema of its kind, which knows no field that the kind has not."""
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(found)]
