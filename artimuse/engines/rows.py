"""Static memory for texts in flight: a row for each text, a place for what all texts about an image share."""

# R rows (texts in flight), I places of images, P tokens of the prefix, W width of a row (tokens), J key-value heads,
# E head size, D hidden size, Q questions, L tokens of the longest
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from artimuse.engines.decoder import Decoder, KeysValues
from artimuse.engines.operations import LayerMemory, Rows

# Numbers of rows for which CUDA graphs are kept.
ROW_BUCKETS = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 640, 768, 896, 1024)
MAX_ROWS = {"cpu": 64, "cuda": ROW_BUCKETS[-1]}
# A look at the tokens makes the device wait for Python, so on a GPU several steps go before each.
STEPS_PER_LOOK = {"cpu": 1, "cuda": 4}


def bucket_of(num_rows: int) -> int:
    """The smallest number of rows with a CUDA graph that holds so many; the number itself if none does."""
    return next((bucket for bucket in ROW_BUCKETS if num_rows <= bucket), num_rows)


@dataclass(slots=True)
class Row:
    """A text in flight."""

    image: int
    question: int
    place: int
    """Of its image, in the memory."""
    token_ids: list[int] = field(default_factory=list)
    is_finished: bool = False

    def add(self, token_ids: list[int], stop_id: int | None, max_new_tokens: int) -> None:
        """Up to and with the stop token, and no more than the limit; what comes after was computed in vain."""
        if stop_id in token_ids:
            token_ids = token_ids[: token_ids.index(stop_id) + 1]
            self.is_finished = True
        self.token_ids += token_ids[: max_new_tokens - len(self.token_ids)]
        self.is_finished |= len(self.token_ids) == max_new_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryShape:
    """How much there is room for."""

    num_rows: int
    width: int
    num_questions: int
    """The most rows about one image."""
    num_shared: int
    """Tokens of every prefix."""

    @property
    def num_places(self) -> int:
        """An image keeps its place until the longest of its texts is finished; the rows of the others go on before."""
        return -(-self.num_rows // self.num_questions) * min(2, self.num_questions)

    @property
    def num_tokens(self) -> int:
        """Tokens whose keys and values are kept."""
        return self.num_rows * self.width + self.num_places * self.num_shared

    def with_room_for(self, other: "MemoryShape | None") -> "MemoryShape":
        """This shape, or one that holds both, so that callers in turns do not make the memory anew each time."""
        if other is None or other.num_shared != self.num_shared:
            return self
        return MemoryShape(
            num_rows=max(self.num_rows, other.num_rows),
            width=max(self.width, other.width),
            num_questions=max(self.num_questions, other.num_questions),
            num_shared=self.num_shared,
        )

    def holds(self, other: "MemoryShape") -> bool:
        """True if what needs the other shape finds room in this one."""
        return (
            self.num_shared == other.num_shared
            and self.num_rows >= other.num_rows
            and self.width >= other.width
            and self.num_questions >= other.num_questions
        )


class RowMemory:
    """Keys and values that never move, the last token of each row and its length."""

    def __init__(self, decoder: Decoder, shape: MemoryShape) -> None:
        self.decoder = decoder
        self.shape = shape
        self.layers = [_layer_memory(decoder, shape) for _ in range(decoder.num_layers)]
        device = decoder.device
        self.tokens = torch.zeros(shape.num_rows, dtype=torch.long, device=device)
        self.lengths = torch.zeros(shape.num_rows, dtype=torch.long, device=device)
        """Tokens of each row's own memory: the last token, which the network has not read yet, goes there."""
        self.of_image = torch.full((shape.num_places, shape.num_questions), -1, dtype=torch.int32, device=device)
        positions = torch.arange(shape.num_shared, shape.num_shared + shape.width, device=device)
        self.cos, self.sin = decoder.rotary(positions)
        self._step = _Graphs(self.step) if device.type == "cuda" else self.step

    def free_places(self, rows: Sequence[Row]) -> list[int]:
        """Places of images that no row is about."""
        taken = {row.place for row in rows}
        return [place for place in range(self.shape.num_places) if place not in taken]

    def fill(
        self,
        rows: Sequence[Row],
        first: int,
        prefix: KeysValues,
        questions: KeysValues,
        indices_QL: torch.Tensor,
        lengths_Q: torch.Tensor,
        tokens: torch.Tensor,
    ) -> None:
        """Sets up rows from `first` on, one per image and question, with the first tokens (images, Q) of the answers.

        `questions` has those of all questions one after the other: a question's are at its indices, of which a
        shorter one has too many.
        """
        num_images, num_questions = tokens.shape
        end = first + len(rows)
        places = torch.tensor([row.place for row in rows[::num_questions]], device=self.decoder.device)
        for i, memory in enumerate(self.layers):
            memory.prefix_keys[places] = prefix.keys[i]
            memory.prefix_values[places] = prefix.values[i]
            for own, new in ((memory.keys, questions.keys[i]), (memory.values, questions.values[i])):
                # (images, J, Q, L, E): what comes after a shorter question is overwritten before it is read.
                own[first:end, :, : indices_QL.shape[1]] = new[:, :, indices_QL].transpose(1, 2).flatten(0, 1)
        self.tokens[first:end] = tokens.flatten()
        self.lengths[first:end] = lengths_Q.repeat(num_images)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Tells the images which rows are about them; rows have the numbers of their order."""
        of_image = np.full(self.of_image.shape, -1, dtype=np.int32)
        for number, row in enumerate(rows):
            of_image[row.place, row.question] = number
        self.of_image.copy_(torch.from_numpy(of_image))

    def run(self, count: int, most_steps: int) -> list[list[int]]:
        """Adds tokens to the first `count` rows: a few, and no more than so many."""
        steps = min(STEPS_PER_LOOK[self.decoder.device.type], most_steps)
        used = count
        if self.decoder.device.type == "cuda":
            used = min(bucket_of(count), self.shape.num_rows)
            # The rows between compute in vain; their places must not run out of the memory.
            self.lengths[count:used] = 0
        taken = []
        for _ in range(steps):
            self._step(used)
            taken.append(self.tokens[:count].clone())
        tokens: list[list[int]] = torch.stack(taken, dim=1).tolist()
        return tokens

    def step(self, count: int) -> None:
        """One more token for the first `count` rows; changes nothing but this memory, and has fixed shapes."""
        lengths = self.lengths[:count]
        rows = Rows(lengths, self.of_image)

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return self.decoder.operations.attend_rows(q[0], k[0], v[0], self.layers[layer], rows)[None]

        # The rows are one sequence for the network; only their attention is their own.
        hidden_1RD = self.decoder.embed(self.tokens[:count])[None]
        hidden_1RD = self.decoder.forward(hidden_1RD, (self.cos[lengths], self.sin[lengths]), attend)
        self.tokens[:count] = self.decoder.next_tokens(hidden_1RD[0])
        self.lengths[:count] += 1

    def without_finished(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that go on; those from the end move into the gaps."""
        count = sum(not row.is_finished for row in rows)
        gaps = [i for i in range(count) if rows[i].is_finished]
        movers = [i for i in range(count, len(rows)) if not rows[i].is_finished]
        if gaps:
            to, source = (torch.tensor(numbers, device=self.decoder.device) for numbers in (gaps, movers))
            for own in (
                *(part for layer in self.layers for part in (layer.keys, layer.values)),
                self.tokens,
                self.lengths,
            ):
                own[to] = own[source]
        kept = list(rows)
        for gap, mover in zip(gaps, movers):
            kept[gap] = rows[mover]
        return kept[:count]


def _layer_memory(decoder: Decoder, shape: MemoryShape) -> LayerMemory:
    prefix = (shape.num_places, decoder.num_kv_heads, shape.num_shared, decoder.head_size)
    own = (shape.num_rows, decoder.num_kv_heads, shape.width, decoder.head_size)
    return LayerMemory(
        *(torch.zeros(size, dtype=decoder.dtype, device=decoder.device) for size in (prefix, prefix, own, own))
    )


class _Graphs:
    """A step as CUDA graphs, one for each number of rows: Python cannot launch kernels fast enough."""

    def __init__(self, step: Callable[[int], None]) -> None:
        self.step = step
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, count: int) -> None:
        if graph := self._graphs.get(count):
            graph.replay()
            return
        # The first step of a number runs as it is, and so loads what capturing must find loaded.
        self.step(count)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self.step(count)
        self._graphs[count] = graph
