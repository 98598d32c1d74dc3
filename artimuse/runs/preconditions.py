"""What a run needs of this machine, if Ray is going to be started here: asked before that, which takes ten seconds.

A cluster that is there already may have what this machine lacks; its workers say so themselves.
"""

from importlib.util import find_spec

from artimuse.errors import ClusterProblem
from artimuse.runs.cluster import starts_here


def refuse_missing(*, packages: dict[str, str], needs_gpu: bool, gpu_option: str) -> None:
    """Raises ClusterProblem if Ray is to be started on this machine, and a package or the GPU is not there.

    `packages` says for each what to do about it.
    """
    if not starts_here():
        return
    for package, advice in packages.items():
        if find_spec(package) is None:
            raise ClusterProblem(f"{advice}; the package {package} is not installed here, where Ray would be started")
    if needs_gpu:
        import torch

        if not torch.cuda.is_available():
            raise ClusterProblem(
                f"{gpu_option}: torch finds no GPU here, where Ray would be started; use --device cpu, or set"
                " RAY_ADDRESS to a cluster with GPUs"
            )
