"""From a checkpoint of a training run to the weights of a network without adapters."""

from collections.abc import Iterator

import torch

from artimuse.errors import ExportFailed
from artimuse.model.load import LORA_SCALE, CheckpointSpec
from artimuse.training.checkpoint import Tensors
from artimuse.training.network import LORA_A, LORA_B
from artimuse.training.vocabulary import NEW_ROWS

_MOST_NAMED = 5


class Merger:
    """The base's weights with what was trained, adapters merged in float32."""

    def __init__(self, spec: CheckpointSpec, tensors: Tensors, dtype: torch.dtype) -> None:
        """`dtype` is the one that was trained in: what training began with was rounded to it."""
        self.dtype = dtype
        self.spec = spec
        self.tensors = tensors
        self.trained = frozenset(tensors.names())
        self.num_adapters = sum(name.endswith(LORA_B) for name in self.trained)

    def refuse_unmoved(self) -> None:
        """What `weights` raises, without their being kept."""
        for _ in self.weights():
            pass

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Native names and float32 weights, one at a time.

        Raises ExportFailed in the end, naming them, if tensors were to be trained and are as they were at the start.
        """
        used: set[str] = set()
        unmoved = []
        for name, weight in self.spec.weights(torch.float32, "cpu"):
            module = name.removesuffix(".weight")
            key_a, key_b = module + LORA_A, module + LORA_B
            if name in self.trained:
                used.add(name)
                trained = self.tensors.weight(name)
                if torch.equal(trained, weight.to(self.dtype).float()):
                    unmoved.append(name)
                weight = trained
            if key_b in self.trained:
                used |= {key_a, key_b}
                matrix_a, matrix_b = self.tensors.weight(key_a), self.tensors.weight(key_b)
                if not matrix_b.any():
                    unmoved.append(key_b)
                weight = weight.addmm(matrix_b, matrix_a, alpha=LORA_SCALE)
            key_new = f"{module}.{NEW_ROWS}"
            if key_new in self.trained:
                used.add(key_new)
                rows = self.tensors.weight(key_new)
                first = len(weight) - len(rows)
                if torch.equal(rows, weight[first:].to(self.dtype).float()):
                    unmoved.append(key_new)
                weight = torch.cat([weight[:first], rows])
            yield name, weight
        if unmoved:
            raise ExportFailed(
                f"{len(unmoved)} of {len(self.trained)} trained tensors are as they were before training"
                f" ({', '.join(unmoved[:_MOST_NAMED])}); nothing was exported"
            )
        if used != self.trained:
            raise ExportFailed(
                "nothing was exported: the base has no place for"
                f" {', '.join(sorted(self.trained - used)[:_MOST_NAMED])}"
            )
