"""What the files in cluster/ say of artimuse, of its images and of each other is so."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from artimuse.configs.options import parse
from artimuse.configs.presets import asked_for
from artimuse.configs.score import ScoreConfig
from artimuse.configs.train import TrainConfig
from tests.cluster.manifests import CLUSTER, EVERYTHING, JOBS, KUBERAY, OVERLAYS, cluster_spec, documents, groups, pods

ROOT = CLUSTER.parent
README = (CLUSTER / "README.md").read_text()
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()


def config_of(script: str, arguments: list[str]) -> ScoreConfig | TrainConfig:
    """Raises SystemExit if jobs/`script` would not take the arguments."""
    if script == "score.py":
        return parse(ScoreConfig, arguments, prog="score")
    return parse(TrainConfig, arguments, prog="train", default=asked_for(arguments))


def entrypoint(job: str) -> list[str]:
    [found] = documents(KUBERAY / "jobs" / job / "job.yaml")
    return shlex.split(found["spec"]["entrypoint"])


@pytest.mark.parametrize("job", JOBS)
def test_a_job_calls_a_script_of_the_image_with_options_that_it_has(job):
    program, script, *arguments = entrypoint(job)
    [directory] = re.findall(r"^FROM python\S* AS run$.*?^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert "\nCOPY jobs jobs\n" in DOCKERFILE
    assert (program, script) == ("python", f"{directory}/jobs/{job}.py")
    assert (ROOT / "jobs" / f"{job}.py").is_file()
    assert config_of(f"{job}.py", arguments).json


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_run_may_have_as_many_workers_as_the_gpu_group(folder):
    job = folder.split("/")[-1]
    config = config_of(f"{job}.py", entrypoint(job)[2:])
    gpu = groups(cluster_spec(folder))["gpu"]
    assert config.worker_range == (1, gpu["maxReplicas"])
    assert config.device == "cuda"
    if isinstance(config, TrainConfig):
        assert config.cpus_per_worker == float(gpu["rayStartParams"]["num-cpus"])


def test_a_stop_request_leaves_time_for_the_grace_of_a_run():
    head = documents(KUBERAY / "base" / "cluster.yaml")[0]["spec"]["headGroupSpec"]
    variables = {each["name"]: each["value"] for each in head["template"]["spec"]["containers"][0]["env"]}
    config = config_of("score.py", entrypoint("score")[2:])
    assert isinstance(config, ScoreConfig)
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) > config.grace_s
    for path in (CLUSTER / "ray-up").iterdir():
        assert f"RAY_JOB_STOP_WAIT_TIME_S={variables['RAY_JOB_STOP_WAIT_TIME_S']} " in path.read_text()


@pytest.mark.parametrize("folder", EVERYTHING)
def test_images_are_those_that_the_readme_builds(folder):
    [kustomization] = documents(KUBERAY / "base" / "kustomization.yaml")
    tags = {each["name"]: f"{each['newName']}:{each['newTag']}" for each in kustomization["images"]}
    assert set(re.findall(r"--target (\w+) --tag (\S+)", README)) == {
        (name.removeprefix("artimuse-"), tag) for name, tag in tags.items()
    }
    assert set(re.findall(r"^FROM run AS (\w+)$", DOCKERFILE, re.MULTILINE)) == {"cpu", "gpu"}
    for name, template in pods(folder).items():
        for container in template["spec"]["containers"]:
            assert container["image"] == tags["artimuse-gpu" if name == "gpu" else "artimuse-cpu"]


@pytest.mark.parametrize("folder", EVERYTHING)
def test_users_and_homes_are_those_of_the_image(folder):
    [(user, group)] = set(re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE))
    assert f"useradd --uid {user} --create-home --shell /bin/bash artimuse\n" in DOCKERFILE
    for name, template in pods(folder).items():
        context = template["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
        variables = {each["name"]: each["value"] for each in template["spec"]["containers"][0]["env"]}
        assert variables["HOME"] == ("/tmp" if name == "submitter" else "/home/artimuse")


@pytest.mark.parametrize("folder", EVERYTHING)
def test_secrets_are_those_that_the_readme_makes(folder):
    made = set(re.findall(r"create secret generic (\S+)", README))
    used: set[Any] = {cluster_spec(folder)["authOptions"]["secretName"]}
    for name, template in pods(folder).items():
        [container] = template["spec"]["containers"]
        if name != "submitter":
            used |= {each["secretRef"]["name"] for each in container["envFrom"]}
    assert used == made
    assert "--from-literal=auth_token=" in README  # the key that KubeRay reads
    secrets = [path for path in CLUSTER.rglob("*.yaml") if "kind: Secret" in path.read_text()]
    assert secrets == []


def test_ray_has_one_version():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    assert documents(KUBERAY / "base" / "cluster.yaml")[0]["spec"]["rayVersion"] == pins["ray"]


def test_the_table_of_numbers_is_complete():
    """Every number that a reader may have to change is in the table of the README."""
    spec = documents(KUBERAY / "base" / "cluster.yaml")[0]["spec"]
    numbers = {
        name for name in re.findall(r"\b\w+(?:Seconds|Limit|Replicas)\b", json.dumps(spec)) if name != "replicas"
    }
    for job in JOBS:
        [found] = documents(KUBERAY / "jobs" / job / "job.yaml")
        numbers |= {name for name in found["spec"] if re.search("Seconds|Limit", name)}
    for path in sorted(KUBERAY.rglob("patch.yaml")):
        numbers |= set(re.findall(r"\b\w+Seconds\w*\b(?=:)", path.read_text()))
    table = README.partition("## The numbers\n")[2].partition("\n## ")[0]
    assert {name for name in numbers if f"`{name}" not in table} == set()


def test_ray_up_files_say_what_is_to_be_replaced():
    for path in (CLUSTER / "ray-up").iterdir():
        assert "REPLACE_ME" in path.read_text()
        assert yaml.safe_load(path.read_text())["cluster_name"] == "artimuse"
    assert "REPLACE_ME" in README
    assert not any("REPLACE_ME" in path.read_text() for path in Path(KUBERAY).rglob("*.yaml"))
