"""The files for `ray up` and for SkyPilot: what their own checks take, and commands that artimuse takes."""

import re
import shlex
from pathlib import Path

import botocore.session
import botocore.validate
import pytest
import yaml

from tests.cluster.manifests import CLUSTER, JOBS
from tests.cluster.test_agreement import config_of

RAY_UP = sorted((CLUSTER / "ray-up").iterdir())

# Those of SkyPilot 0.14 that we use: its own check takes the files as well, but is too large for a test.
SKYPILOT_FIELDS = {"name", "workdir", "resources", "envs", "secrets", "setup", "run"}
SKYPILOT_RESOURCES = {"accelerators", "cpus", "memory", "disk_size", "use_spot", "job_recovery"}


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_takes_the_files_for_ray_up(path: Path):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_up_starts_with_a_head_that_does_no_work_and_nothing_else(path: Path):
    config = yaml.safe_load(path.read_text())
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert (head["resources"], head["max_workers"]) == ({"CPU": 0, "GPU": 0}, 0)
    assert all(found["min_workers"] == 0 < found["max_workers"] for found in types.values())
    assert config["max_workers"] == sum(found["max_workers"] for found in types.values())
    assert {name for name, found in types.items() if "spot" in str(found["node_config"]).lower()} == {"gpu"}
    assert "spot" not in str(head["node_config"]).lower()
    [start] = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--num-cpus=0 --num-gpus=0" in start
    assert "dashboard-host" not in start
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])


def test_aws_takes_the_nodes():
    """The fields of EC2's RunInstances, as the AWS library has them."""
    ec2 = botocore.session.get_session().get_service_model("ec2")
    shape = ec2.operation_model("RunInstances").input_shape
    [path] = [path for path in RAY_UP if path.stem == "aws"]
    for found in yaml.safe_load(path.read_text())["available_node_types"].values():
        request = {**found["node_config"], "MinCount": 1, "MaxCount": 1}
        assert botocore.validate.ParamValidator().validate(request, shape).generate_report() == ""


@pytest.mark.parametrize("job", JOBS)
def test_skypilot_runs_a_script_with_options_that_it_has(job: str):
    task = yaml.safe_load((CLUSTER / "skypilot" / f"{job}.yaml").read_text())
    assert task.keys() <= SKYPILOT_FIELDS
    assert task["resources"].keys() <= SKYPILOT_RESOURCES
    assert task["resources"]["use_spot"] is True
    environment, command = task["run"].strip().split("\n")
    assert environment == "export RAY_ADDRESS=local"
    program, script, *arguments = shlex.split(re.sub(r"\$(\w+)", lambda match: task["envs"][match[1]], command))
    assert (program, script) == ("~/artimuse/bin/python", f"jobs/{job}.py")
    config = config_of(f"{job}.py", arguments)
    [num_gpus] = set(task["resources"]["accelerators"].values())
    assert config.worker_range == (num_gpus, num_gpus)
