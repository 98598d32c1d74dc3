"""A packed sequence: an image, what all questions about it begin with, and then each question with its answer.

What is shared is read once, as in inference: eight texts of 130 tokens about an image of InternVL3 are about 1,400
tokens in place of 3,400. A question sees what is shared and itself, and its positions go on from what is shared, so
that every answer has the loss that it has on its own.
"""

# R packed sequences, S tokens
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch

IGNORED = -100
"""Label of a token that the loss is not on."""
PADDING_ID = 0
SHARED, PADDING = 0, -1
"""Numbers of the parts of a sequence that are no question. Questions are numbered from 1."""


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """Four lists of the same length."""

    token_ids: list[int]
    labels: list[int]
    """Token ids of the answers, `IGNORED` elsewhere."""
    positions: list[int]
    parts: list[int]
    """`SHARED`, or the number of the question."""


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Several packed sequences as tensors, padded on the right."""

    token_ids_RS: torch.Tensor
    labels_RS: torch.Tensor
    positions_RS: torch.Tensor | None
    """None: 0, 1, 2 and so on."""
    mask: torch.Tensor | None
    """(R, 1, S, S), true where a token (first S) sees another one. None: every token sees all tokens before it.
    Padding comes after them, so nothing sees it, and a device can use its fastest attention."""

    def to(self, device: torch.device) -> "PackedBatch":
        return PackedBatch(
            self.token_ids_RS.to(device, non_blocking=True),
            self.labels_RS.to(device, non_blocking=True),
            None if self.positions_RS is None else self.positions_RS.to(device, non_blocking=True),
            None if self.mask is None else self.mask.to(device, non_blocking=True),
        )


def pack(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> PackedSequence:
    """The sequence of one image. `prompts` are whole ones, with the image in each, and as many as there are answers."""
    num_shared = _num_shared(prompts) if len(prompts) > 1 else 0
    sequence = PackedSequence([], [], [], [])
    _append(sequence, prompts[0][:num_shared], (), position=0, part=SHARED)
    for part, (prompt, answer) in enumerate(zip(prompts, answers), start=1):
        _append(sequence, prompt[num_shared:], answer, position=num_shared, part=part)
    return sequence


def stack(sequences: Sequence[PackedSequence]) -> PackedBatch:
    width = max(len(sequence.token_ids) for sequence in sequences)

    def filled(lists: Sequence[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*values, *[filler] * (width - len(values))] for values in lists])

    token_ids_RS = filled([sequence.token_ids for sequence in sequences], PADDING_ID)
    labels_RS = filled([sequence.labels for sequence in sequences], IGNORED)
    parts_RS = filled([sequence.parts for sequence in sequences], PADDING)
    if (parts_RS == SHARED).any():
        positions_RS = filled([sequence.positions for sequence in sequences], 0)
        return PackedBatch(token_ids_RS, labels_RS, positions_RS, _mask(parts_RS))
    return PackedBatch(token_ids_RS, labels_RS, None, None)


def _num_shared(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all begin with; at least one of each is left, from which its answer is predicted."""
    same = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts)))
    return min(same, min(map(len, prompts)) - 1)


def _append(
    sequence: PackedSequence, prompt: Sequence[int], answer: Sequence[int], *, position: int, part: int
) -> None:
    num_tokens = len(prompt) + len(answer)
    sequence.token_ids.extend([*prompt, *answer])
    sequence.labels.extend([*[IGNORED] * len(prompt), *answer])
    sequence.positions.extend(range(position, position + num_tokens))
    sequence.parts.extend([part] * num_tokens)


def _mask(parts_RS: torch.Tensor) -> torch.Tensor:
    # Padding sees padding: a token that sees nothing has no attention to normalize.
    sees_RSS = (parts_RS[:, :, None] == parts_RS[:, None, :]) | (parts_RS == SHARED)[:, None, :]
    return sees_RSS.tril()[:, None]
