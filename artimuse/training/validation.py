"""How good the network is on examples it is not trained on: loss, and how its scores correlate with the labels."""

# K candidate tokens
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from artimuse.interfaces import ScoreStrategy
from artimuse.scoring.metrics import correlations
from artimuse.scoring.tokens import TokenStrategy
from artimuse.training.data.collate import BadImage, Batch, BatchMaker
from artimuse.training.data.examples import Examples
from artimuse.training.data.sampler import IntArray, micro_batches
from artimuse.training.worker_group import WorkerGroup

LEAST_VALIDATIONS = 10
"""Of a stage, if nobody says how many."""


def is_due(step: int, num_steps: int, eval_steps: int | None) -> bool:
    """Whether there is a validation after this step, which counts from 1. The last one always has one."""
    return step == num_steps or step % (eval_steps or max(1, num_steps // LEAST_VALIDATIONS)) == 0


class Validator:
    """Measures loss and SRCC on the validation examples: always the same ones, the first of a seeded order."""

    def __init__(
        self,
        examples: Examples,
        maker: BatchMaker,
        strategy: ScoreStrategy,
        candidate_ids: Sequence[int],
        *,
        most: int,
        micro_batch_size: int,
    ) -> None:
        """`candidate_ids` are the tokens of the strategy, if it has any."""
        self.examples = examples
        self.maker = maker
        self.strategy = strategy
        self.candidate_ids = list(candidate_ids)
        self.micro_batch_size = micro_batch_size
        self._numbers: IntArray = np.random.Generator(np.random.PCG64(0)).permutation(len(examples))[:most]

    def __len__(self) -> int:
        return len(self._numbers)

    @torch.no_grad()
    def validate(
        self, run: Callable[[Batch], tuple[torch.Tensor, torch.Tensor]], group: WorkerGroup
    ) -> tuple[dict[str, Any], list[BadImage]]:
        """Called by all workers together. Loss per answer token; SRCC and PLCC, null where there are no scores.

        `run` gives the loss and the logits of a batch, as `TrainedNetwork` does. Also returns what was left out.
        """
        began_at = time.monotonic()
        pieces = micro_batches(self._numbers, self.micro_batch_size, rank=group.rank, world_size=group.size)
        loss, num_tokens = 0.0, 0
        scores: list[tuple[float, float]] = []
        bad: list[BadImage] = []
        for batch in self.maker.batches([self.examples[int(n)] for n in piece] for piece in pieces):
            batch_loss, logits_LV = run(batch)
            loss += batch_loss.item()
            num_tokens += batch.num_answer_tokens
            scores += list(self._scores(batch, logits_LV))
            bad += batch.bad
        loss_of_all, all_tokens = group.all_sum(loss, num_tokens)
        scores, bad = group.all_gather(scores), group.all_gather(bad)
        srcc, plcc = correlations([predicted for predicted, _ in scores], [true for _, true in scores])
        return {
            "loss": loss_of_all / max(1, all_tokens),
            "srcc": srcc,
            "plcc": plcc,
            "num_examples": len(self._numbers) - len(bad),
            "num_scores": len(scores),
            "seconds": round(time.monotonic() - began_at, 4),
        }, bad

    def _scores(self, batch: Batch, logits_LV: torch.Tensor) -> Iterator[tuple[float, float]]:
        """Predicted and true score of each example that has one."""
        if not isinstance(self.strategy, TokenStrategy):
            return
        position = 0
        for example in batch.examples:
            if example.score is not None:
                logits_1K = logits_LV[position : position + 1, self.candidate_ids].float().cpu().numpy()
                yield float(self.strategy.distribution(logits_1K).mean_B[0]), example.score
            position += len(example.answer_ids)
