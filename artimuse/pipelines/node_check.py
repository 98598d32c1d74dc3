"""Proof, before anything runs, that every node sees INPUT, OUTPUT and MODEL."""

import secrets

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from artimuse.errors import ArtiMuseError, BadCheckpoint, BadOutput, ClusterProblem
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.pipelines.rows import ScoreJob, refuse_blind_node

TIMEOUT_S = 600.0
"""Long enough to download a model to every node."""


def check_nodes(job: ScoreJob, *, weights: str | None) -> None:
    """Raises ClusterProblem naming each node that lacks something, if the cluster has more than one node.

    Every node reads a fresh token from OUTPUT and writes an answer that is read here; reads images that could be
    read here; and finds weights of the same digest. Nodes that join later prove INPUT and MODEL when their workers
    start. `weights` is None for an engine without a model.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and _can_work(node["Resources"])]
    if len(nodes) < 2:
        return
    token = secrets.token_hex(8)
    job.output.write(_token_file(token, "driver"), token.encode())
    answers = {
        node["NodeID"]: _prove.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(job, token, node["NodeID"], weights)
        for node in nodes
    }
    try:
        problems = []
        for node in nodes:
            problem = _answer(answers[node["NodeID"]], job.output, token, node["NodeID"])
            if problem:
                problems.append(f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]}): {problem}")
        if problems:
            raise ClusterProblem("not every node can do the work: " + "; ".join(problems))
    finally:
        for node_id in ("driver", *answers):
            job.output.remove(_token_file(token, node_id))


def _can_work(resources: dict[str, float]) -> bool:
    return resources.get("CPU", 0) > 0 or resources.get("GPU", 0) > 0


def _token_file(token: str, node_id: str) -> str:
    return f".node-check-{token}-{node_id}"


def _answer(reference: "ray.ObjectRef[str]", output: Folder, token: str, node_id: str) -> str:
    """What is wrong on a node; empty if nothing is."""
    try:
        problem: str = ray.get(reference, timeout=TIMEOUT_S)
    except ray.exceptions.RayError as error:
        return f"the check did not run ({str(error).splitlines()[0]})"
    if not problem and not output.exists(_token_file(token, node_id)):
        return f"what it writes to OUTPUT {output.url()} does not arrive"
    return problem


@ray.remote(num_cpus=0)
def _prove(job: ScoreJob, token: str, node_id: str, weights: str | None) -> str:
    """Runs on the node that is to prove itself; returns what it lacks as a sentence, empty if nothing."""
    try:
        if not job.output.exists(_token_file(token, "driver")):
            return f"OUTPUT {job.output.url()} is not the same location as on the driver"
        refuse_blind_node(job)
        if weights:
            _refuse_other_weights(job.engine.model, weights)
        job.output.write(_token_file(token, node_id), token.encode())
    except BadOutput as error:
        return f"OUTPUT: {error}"
    except ArtiMuseError as error:
        return str(error)
    return ""


def _refuse_other_weights(model: str, weights: str) -> None:
    try:
        found = weights_digest(find_checkpoint(model).directory)
    except BadCheckpoint as error:
        raise ClusterProblem(f"--model: {error}") from error
    if found != weights:
        raise ClusterProblem(f"--model {model} has other weights than on the driver")
