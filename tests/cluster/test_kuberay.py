"""The manifests are what KubeRay's own schemas and rules admit, and the places that must agree do."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cluster.manifests import (
    EVERYTHING,
    KUBERAY,
    OVERLAYS,
    built,
    cluster_spec,
    documents,
    groups,
    num_bytes,
    one,
    pods,
    problems,
    written,
)

DELETION_ORDER = ("DeleteCluster", "DeleteSelf")


@pytest.fixture(scope="module")
def schemas(test_data: Path) -> Path:
    """KubeRay 1.7's schemas of its kinds."""
    return test_data / "corpora" / "kuberay"


@pytest.mark.parametrize("folder", EVERYTHING)
def test_what_kustomize_builds_is_valid(folder, schemas):
    for found in built(folder):
        if found["apiVersion"] == "ray.io/v1":
            assert problems(schemas / f"{found['kind']}_v1.schema.json", found) == []


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_every_file_is_valid_by_itself(kind, schemas):
    found = list(written(kind))
    assert len(found) >= 1
    assert [problem for each in found for problem in problems(schemas / f"{kind}_v1.schema.json", each)] == []


def test_network_policies_have_the_fields_that_kubernetes_knows(schemas):
    """KubeRay's schema of a cluster has those of a network policy's rules."""
    cluster = json.loads((schemas / "RayCluster_v1.schema.json").read_text())
    rules = cluster["properties"]["spec"]["properties"]["networkPolicy"]["properties"]["head"]["properties"]
    for policy in written("NetworkPolicy"):
        spec = policy["spec"]
        assert policy["apiVersion"] == "networking.k8s.io/v1"
        assert spec.keys() <= {"podSelector", "policyTypes", "ingress", "egress"}
        assert set(spec["policyTypes"]) <= {"Ingress", "Egress"}
        jsonschema.validate(spec.get("ingress", []), rules["ingressRules"])
        jsonschema.validate(spec.get("egress", []), rules["egressRules"])


@pytest.mark.parametrize("folder", EVERYTHING)
def test_an_overlay_has_the_namespace_its_policies_and_one_cluster(folder):
    kinds = sorted(found["kind"] for found in built(folder))
    ours = "RayCluster" if folder == "base" else "RayJob"
    assert kinds == ["Namespace", "NetworkPolicy", "NetworkPolicy", "NetworkPolicy", ours]
    names = {found["metadata"].get("namespace", found["metadata"]["name"]) for found in built(folder)}
    assert names == {"artimuse"}


def test_the_overlays_exclude_each_other():
    """KubeRay refuses deletionRules beside shutdownAfterJobFinishes, which Kueue demands."""
    for folder in OVERLAYS:
        job = one(folder, "RayJob")
        if "kueue" in folder:
            assert "deletionStrategy" not in job["spec"]
            assert job["spec"]["shutdownAfterJobFinishes"] is True
            assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "artimuse"
            assert job["metadata"]["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"
        else:
            assert not job["spec"].keys() & {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished"}


def test_deletion_rules_are_those_that_kuberay_takes():
    """With autoscaling there is no DeleteWorkers, and what is deleted later is the larger (KubeRay 1.7)."""
    [patch] = documents(KUBERAY / "components" / "deletion-rules" / "patch.yaml")
    seconds: dict[tuple[str, str], list[int]] = {}
    for rule in patch["spec"]["deletionStrategy"]["deletionRules"]:
        condition = dict(rule["condition"])
        ttl = condition.pop("ttlSeconds")
        [(of, status)] = condition.items()
        seconds.setdefault((of, status), []).append((DELETION_ORDER.index(rule["policy"]), ttl))
    # A job that FAILED is Failed as well: rules for both would be two for the same jobs.
    assert seconds.keys() == {("jobStatus", "SUCCEEDED"), ("jobDeploymentStatus", "Failed")}
    for rules in seconds.values():
        assert sorted(rules) == sorted(rules, key=lambda rule: rule[1])
        assert len({policy for policy, _ in rules}) == len(rules)


@pytest.mark.parametrize("folder", EVERYTHING)
def test_clusters_grow_from_none_and_the_head_does_no_work(folder):
    spec = cluster_spec(folder)
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert "networkPolicy" not in spec  # behind a gate that is off (KubeRay 1.7)
    by_name = groups(spec)
    head = by_name.pop("head")
    assert (head["rayStartParams"]["num-cpus"], head["rayStartParams"]["num-gpus"]) == ("0", "0")
    assert set(by_name) == ({"gpu"} if folder.endswith("train") else {"gpu", "decode"})
    for name, group in by_name.items():
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
        assert group["idleTimeoutSeconds"] > 0
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits.get("nvidia.com/gpu", "0") == group["rayStartParams"]["num-gpus"] == str(int(name == "gpu"))
        tolerated = {toleration["key"] for toleration in group["template"]["spec"].get("tolerations", ())}
        assert ("cloud.google.com/gke-spot" in tolerated) == (name == "gpu")


@pytest.mark.parametrize("folder", EVERYTHING)
def test_pods_are_as_restricted_as_their_namespace_demands(folder):
    assert one(folder, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in (template["spec"] for template in pods(folder).values()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.get("restartPolicy", "Never") == "Never"
        for container in pod["containers"]:
            assert_restricted(container["securityContext"])
    assert_restricted(cluster_spec(folder)["autoscalerOptions"]["securityContext"])


def assert_restricted(context: dict) -> None:
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("folder", EVERYTHING)
def test_object_stores_fit_into_shared_memory_and_that_into_the_container(folder):
    for group in groups(cluster_spec(folder)).values():
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
        [container] = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert volumes["shm"]["medium"] == "Memory"
        shared = num_bytes(volumes["shm"]["sizeLimit"])
        assert int(group["rayStartParams"]["object-store-memory"]) + 2**29 == shared
        resources = container["resources"]
        assert shared * 2 < num_bytes(resources["limits"]["memory"]) == num_bytes(resources["requests"]["memory"])
        on_disk = num_bytes(volumes["tmp"]["sizeLimit"]) + num_bytes(volumes["home"]["sizeLimit"])
        assert num_bytes(resources["requests"]["ephemeral-storage"]) == on_disk
    in_head = {volume["name"] for volume in groups(cluster_spec(folder))["head"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in cluster_spec(folder)["autoscalerOptions"]["volumeMounts"]} <= in_head


@pytest.mark.parametrize("folder", EVERYTHING)
def test_network_policies_choose_the_pods_and_ports_that_there_are(folder):
    policies = {found["metadata"]["name"]: found["spec"] for found in built(folder) if found["kind"] == "NetworkPolicy"}
    labels = {name: template["metadata"]["labels"] for name, template in pods(folder).items()}
    labels["head"] = {**labels["head"], "ray.io/node-type": "head"}  # KubeRay adds it

    def chosen(selector: dict) -> set[str]:
        return {name for name, has in labels.items() if selector["matchLabels"].items() <= has.items()}

    workers = labels.keys() - {"submitter"}
    submitter = labels.keys() & {"submitter"}
    assert chosen(policies["artimuse-ray"]["podSelector"]) == workers
    assert chosen(policies["artimuse-ray"]["ingress"][0]["from"][0]["podSelector"]) == workers
    assert chosen(policies["artimuse-dashboard"]["podSelector"]) == {"head"}
    assert chosen(policies["artimuse-submitter"]["podSelector"]) == submitter
    [rule] = policies["artimuse-dashboard"]["ingress"]
    assert chosen(rule["from"][0]["podSelector"]) == submitter
    head = groups(cluster_spec(folder))["head"]["template"]["spec"]["containers"][0]
    [dashboard] = [port["containerPort"] for port in head["ports"] if port["name"] == "dashboard"]
    assert [port["port"] for port in rule["ports"]] == [dashboard]
    assert policies["artimuse-submitter"]["egress"][0]["ports"] == rule["ports"]
