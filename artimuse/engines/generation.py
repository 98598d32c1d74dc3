"""Greedy answers to several questions about many images, a row of static memory for each text that is in flight.

An image's questions go through the network together, over the keys and values of the prompt up to the image, which
are computed once. Then every step adds a token to each row. Rows that are finished make room for other images.
"""

# R rows (texts in flight), W memory width (tokens), J key-value heads, E head size, D hidden size, Q questions
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch

from artimuse.engines.attention import attend_grouped
from artimuse.engines.decoder import Decoder, KeysValues

# Images whose questions go through the network together: fewer would not fill it.
IMAGES_PER_ADMISSION = 4
# Attention reads whole blocks; CUDA graphs are kept per width.
WIDTH_STEP = 64
# Numbers of rows for which CUDA graphs are kept.
ROW_BUCKETS = (8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256)
MAX_ROWS = {"cpu": 64, "cuda": ROW_BUCKETS[-1]}
# A look at the tokens makes the device wait for Python, so on a GPU several steps go before each.
STEPS_PER_LOOK = {"cpu": 1, "cuda": 8}


@dataclass(slots=True)
class _Row:
    image: int
    question: int
    token_ids: list[int] = field(default_factory=list)


class Generator:
    """Owns the memory of the rows, and keeps it from call to call."""

    def __init__(self, decoder: Decoder, *, stop_id: int | None) -> None:
        """`stop_id` ends a text; None: only the limit does."""
        self.decoder = decoder
        self.stop_id = stop_id
        self.max_rows = MAX_ROWS[decoder.device.type]
        self._memory: _Memory | None = None

    def halve(self) -> None:
        """Has half as many texts in flight from now on."""
        self._memory = None
        self.max_rows = max(1, self.max_rows // 2)

    @torch.inference_mode()
    def answers(
        self, prefixes: Sequence[KeysValues], suffixes: Sequence[Sequence[int]], *, max_new_tokens: int
    ) -> list[list[list[int]]]:
        """Token ids per image and question: up to and with the stop token, or `max_new_tokens` of them.

        `prefixes` are one image's keys and values each (B = 1), all equally long.
        """
        answers: list[list[list[int]]] = [[[] for _ in suffixes] for _ in prefixes]
        waiting = deque(range(len(prefixes)))
        rows: list[_Row] = []
        if waiting and suffixes:
            questions = _Questions(self.decoder, suffixes, prefixes[0].num_tokens)
            memory = self._memory_for(questions, max_new_tokens)
        while waiting or rows:
            room = (memory.num_rows - len(rows)) // len(suffixes)
            if min(room, len(waiting)) >= min(IMAGES_PER_ADMISSION, len(waiting) or 1) or not rows:
                images = [waiting.popleft() for _ in range(min(room, len(waiting)))]
                rows += self._admit(images, prefixes, questions, memory, len(rows))
            else:
                memory.run(len(rows), rows)
            rows = memory.without_finished(rows, self.stop_id, max_new_tokens, answers)
        return answers

    def _admit(
        self,
        images: Sequence[int],
        prefixes: Sequence[KeysValues],
        questions: "_Questions",
        memory: "_Memory",
        first: int,
    ) -> list[_Row]:
        """Reads the questions about these images; their rows, from `first` on, have their first tokens then."""
        prefix = _joined([prefixes[image] for image in images])
        tokens, suffix = questions.read(prefix)
        memory.fill(first, prefix, suffix, questions, tokens)
        rows = [_Row(image, question) for image in images for question in range(questions.count)]
        for row, token_id in zip(rows, tokens.flatten().tolist()):
            row.token_ids.append(token_id)
        return rows

    def _memory_for(self, questions: "_Questions", max_new_tokens: int) -> "_Memory":
        device = self.decoder.device
        needed = questions.end + max_new_tokens + STEPS_PER_LOOK[device.type]
        width = -(-needed // WIDTH_STEP) * WIDTH_STEP
        if self._memory is None or self._memory.width < width or self._memory.num_rows < questions.count:
            self._memory = None  # freed before the new one is made
            self._memory = _Memory(self.decoder, max(questions.count, self._num_rows(width)), width)
        return self._memory

    def _num_rows(self, width: int) -> int:
        """The number of rows: as many as pay, in no more than half of the device memory that is free."""
        decoder = self.decoder
        if decoder.device.type != "cuda":
            return self.max_rows
        bytes_per_token = 2 * decoder.num_layers * decoder.num_kv_heads * decoder.head_size * decoder.dtype.itemsize
        num_free, _ = torch.cuda.mem_get_info(decoder.device)
        return max(1, min(self.max_rows, num_free // 2 // (bytes_per_token * width)))


class _Questions:
    """The ends of the prompts, after what they share: one sequence in which no question sees another."""

    def __init__(self, decoder: Decoder, suffixes: Sequence[Sequence[int]], start: int) -> None:
        self.decoder = decoder
        self.count = len(suffixes)
        self.start = start
        self.lengths = [len(suffix) for suffix in suffixes]
        self.offsets = [0, *accumulate(self.lengths)]
        self.end = start + max(self.lengths)
        device = decoder.device
        self.token_ids = torch.tensor([token_id for suffix in suffixes for token_id in suffix], device=device)
        self.positions = torch.cat([start + torch.arange(length, device=device) for length in self.lengths])
        owner = torch.repeat_interleave(
            torch.arange(self.count, device=device), torch.tensor(self.lengths, device=device)
        )
        own = (owner[:, None] == owner[None]) & (self.positions[None] <= self.positions[:, None])
        self.mask = torch.cat([own.new_ones(len(own), start), own], dim=1)
        self.lasts = torch.tensor(self.offsets[1:], device=device) - 1

    def read(self, prefix: KeysValues) -> tuple[torch.Tensor, KeysValues]:
        """The first tokens of the answers (images, Q), and the keys and values of the questions."""
        num_images = len(prefix.keys[0])
        hidden_BQD, suffix = self.decoder.prefill(
            self.decoder.embed(self.token_ids).expand(num_images, -1, -1),
            self.positions,
            answers=self.lasts,
            past=prefix,
            mask=self.mask,
            keep=len(self.token_ids),
        )
        return self.decoder.head(hidden_BQD).argmax(-1), suffix


class _Memory:
    """Keys and values (R, J, W, E) per layer that never move, the last token of each row and its place."""

    def __init__(self, decoder: Decoder, num_rows: int, width: int) -> None:
        self.decoder = decoder
        self.num_rows = num_rows
        self.width = width
        shape = (num_rows, decoder.num_kv_heads, width, decoder.head_size)
        self.keys, self.values = (
            [torch.zeros(shape, dtype=decoder.dtype, device=decoder.device) for _ in range(decoder.num_layers)]
            for _ in range(2)
        )
        self.tokens = torch.zeros(num_rows, dtype=torch.long, device=decoder.device)
        self.lengths = torch.zeros(num_rows, dtype=torch.long, device=decoder.device)
        """Tokens of each row that the network has read: the place of its last token."""
        self.places = torch.arange(width, device=decoder.device)
        self.row_numbers = torch.arange(num_rows, device=decoder.device)
        self.cos, self.sin = decoder.rotary(self.places)
        self._step = _Graphs(self.step) if decoder.device.type == "cuda" else self.step

    def fill(
        self, first: int, prefix: KeysValues, suffix: KeysValues, questions: _Questions, tokens: torch.Tensor
    ) -> None:
        """Sets up rows from `first` on, one per image and question."""
        num_images = len(tokens)
        end = first + num_images * questions.count
        for own, shared, new in zip(
            (*self.keys, *self.values), (*prefix.keys, *prefix.values), (*suffix.keys, *suffix.values)
        ):
            rows = own[first:end].view(num_images, questions.count, *own.shape[1:])
            rows[:, :, :, : questions.start] = shared[:, None]
            for i, (offset, length) in enumerate(zip(questions.offsets, questions.lengths)):
                rows[:, i, :, questions.start : questions.start + length] = new[:, :, offset : offset + length]
        self.tokens[first:end] = tokens.flatten()
        lengths = torch.tensor(questions.lengths, device=self.decoder.device) + questions.start
        self.lengths[first:end] = lengths.repeat(num_images)

    def run(self, count: int, rows: Sequence[_Row]) -> None:
        """Adds tokens to the first `count` rows."""
        steps = STEPS_PER_LOOK[self.decoder.device.type]
        used = count
        if self.decoder.device.type == "cuda":
            used = next((bucket for bucket in ROW_BUCKETS if count <= bucket <= self.num_rows), self.num_rows)
            # The rows between compute in vain; their places must not run out of the memory.
            self.lengths[count:used] = 0
        longest = int(self.lengths[:count].max()) + steps
        width = min(-(-longest // WIDTH_STEP) * WIDTH_STEP, self.width)
        taken = []
        for _ in range(steps):
            self._step(used, width)
            taken.append(self.tokens[:count].clone())
        for row, token_ids in zip(rows, torch.stack(taken, dim=1).tolist()):
            row.token_ids += token_ids

    def step(self, count: int, width: int) -> None:
        """One more token for the first `count` rows; changes nothing but this memory, and has fixed shapes."""
        rows, lengths = self.row_numbers[:count], self.lengths[:count]
        is_read = self.places[:width] <= lengths[:, None]
        # Made once for all layers; attention would turn a boolean one into this in every layer.
        mask = torch.where(is_read, 0.0, -torch.inf).to(self.decoder.dtype)[:, None, None]

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            self.keys[layer][rows, :, lengths] = k[:, :, 0]
            self.values[layer][rows, :, lengths] = v[:, :, 0]
            return attend_grouped(q, self.keys[layer][:count, :, :width], self.values[layer][:count, :, :width], mask)

        rotary = self.cos[lengths][:, None, None], self.sin[lengths][:, None, None]
        hidden_R1D = self.decoder.forward(self.decoder.embed(self.tokens[:count])[:, None], rotary, attend)
        self.tokens[:count] = self.decoder.head(hidden_R1D[:, 0]).argmax(-1)
        self.lengths[:count] += 1

    def without_finished(
        self, rows: list[_Row], stop_id: int | None, max_new_tokens: int, answers: list[list[list[int]]]
    ) -> list[_Row]:
        """Takes the finished rows out: their answers are stored, and rows from the end move into the gaps."""
        is_finished = []
        for row in rows:
            end = row.token_ids.index(stop_id) + 1 if stop_id in row.token_ids else len(row.token_ids)
            row.token_ids = row.token_ids[: min(end, max_new_tokens)]
            is_finished.append(row.token_ids[-1] == stop_id or len(row.token_ids) == max_new_tokens)
            if is_finished[-1]:
                answers[row.image][row.question] = row.token_ids
        count = len(rows) - sum(is_finished)
        gaps = [i for i in range(count) if is_finished[i]]
        movers = [i for i in range(count, len(rows)) if not is_finished[i]]
        if gaps:
            to, source = (torch.tensor(places, device=self.decoder.device) for places in (gaps, movers))
            for memory in (*self.keys, *self.values, self.tokens, self.lengths):
                memory[to] = memory[source]
        kept = list(rows)
        for gap, mover in zip(gaps, movers):
            kept[gap] = rows[mover]
        return kept[:count]


class _Graphs:
    """A step as CUDA graphs, one for each number of rows and width: Python cannot launch kernels fast enough."""

    def __init__(self, step: Callable[[int, int], None]) -> None:
        self.step = step
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, count: int, width: int) -> None:
        if graph := self._graphs.get((count, width)):
            graph.replay()
            return
        # The first step of a shape runs as it is, and so loads what capturing must find loaded.
        self.step(count, width)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self.step(count, width)
        self._graphs[count, width] = graph


def _joined(prefixes: Sequence[KeysValues]) -> KeysValues:
    return KeysValues(
        tuple(torch.cat(parts) for parts in zip(*(prefix.keys for prefix in prefixes))),
        tuple(torch.cat(parts) for parts in zip(*(prefix.values for prefix in prefixes))),
    )
