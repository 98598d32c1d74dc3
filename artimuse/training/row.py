"""One row of a micro-batch: an image, what all questions about it begin with, and then each question with its answer.

What is shared is read once, as in inference: eight texts of 130 tokens about an image of InternVL3 are about 1,400
tokens in place of 3,400. A question sees what is shared and itself, and its positions go on from what is shared, so
that every answer has the loss that it has on its own.
"""

# R rows, S tokens
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch

IGNORED = -100
"""Label of a token that the loss is not on."""
PADDING_ID = 0
SHARED, PADDING = 0, -1
"""Parts of a row that are no question; these count from 1."""


@dataclass(frozen=True, slots=True)
class Row:
    """Four lists of the same length."""

    token_ids: list[int]
    labels: list[int]
    """Token ids of the answers, `IGNORED` elsewhere."""
    positions: list[int]
    parts: list[int]
    """`SHARED`, or the number of the question."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Side by side, filled up on the right."""

    token_ids_RS: torch.Tensor
    labels_RS: torch.Tensor
    positions_RS: torch.Tensor | None
    """None: 0, 1, 2 and so on."""
    mask: torch.Tensor | None
    """(R, 1, S, S), true where a token (first S) sees another one. None: every token sees all before it, which no
    padding is, so that a device can use its fastest attention."""

    def to(self, device: torch.device) -> "Rows":
        return Rows(
            self.token_ids_RS.to(device, non_blocking=True),
            self.labels_RS.to(device, non_blocking=True),
            None if self.positions_RS is None else self.positions_RS.to(device, non_blocking=True),
            None if self.mask is None else self.mask.to(device, non_blocking=True),
        )


def lay_out(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Row:
    """The row of one image. `prompts` are whole ones, with the image in each, and as many as there are answers."""
    num_shared = _num_shared(prompts) if len(prompts) > 1 else 0
    row = Row([], [], [], [])
    _append(row, prompts[0][:num_shared], (), position=0, part=SHARED)
    for part, (prompt, answer) in enumerate(zip(prompts, answers), start=1):
        _append(row, prompt[num_shared:], answer, position=num_shared, part=part)
    return row


def stack(rows: Sequence[Row]) -> Rows:
    width = max(len(row.token_ids) for row in rows)

    def filled(lists: Sequence[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*values, *[filler] * (width - len(values))] for values in lists])

    token_ids_RS = filled([row.token_ids for row in rows], PADDING_ID)
    labels_RS = filled([row.labels for row in rows], IGNORED)
    parts_RS = filled([row.parts for row in rows], PADDING)
    if (parts_RS == SHARED).any():
        positions_RS = filled([row.positions for row in rows], 0)
        return Rows(token_ids_RS, labels_RS, positions_RS, _mask(parts_RS))
    return Rows(token_ids_RS, labels_RS, None, None)


def _num_shared(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all begin with; at least one of each is left, from which its answer is predicted."""
    same = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts)))
    return min(same, min(map(len, prompts)) - 1)


def _append(row: Row, prompt: Sequence[int], answer: Sequence[int], *, position: int, part: int) -> None:
    num_tokens = len(prompt) + len(answer)
    row.token_ids.extend([*prompt, *answer])
    row.labels.extend([*[IGNORED] * len(prompt), *answer])
    row.positions.extend(range(position, position + num_tokens))
    row.parts.extend([part] * num_tokens)


def _mask(parts_RS: torch.Tensor) -> torch.Tensor:
    # Padding sees padding: a token that sees nothing has no attention to normalize.
    sees_RSS = (parts_RS[:, :, None] == parts_RS[:, None, :]) | (parts_RS == SHARED)[:, None, :]
    return sees_RSS.tril()[:, None]
