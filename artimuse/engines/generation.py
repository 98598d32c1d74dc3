"""Greedy answers to several questions about many images, with many texts in flight at a time.

An image's questions go through the network together, over the keys and values of the prompt up to the image, which
are computed and kept once. Then every step adds a token to each row. Rows that are finished make room for other
images.
"""

# B images, R rows (texts in flight), D hidden size, Q questions, L tokens of the longest
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch

from artimuse.engines.decoder import Decoder, KeysValues
from artimuse.engines.rows import MAX_ROWS, STEPS_PER_LOOK, MemoryShape, Row, RowMemory, bucket_of

# Images whose questions go through the network together: fewer would not fill it, more would keep rows waiting.
IMAGES_PER_ADMISSION = {"cpu": 4, "cuda": 8}
# Rows are read and written whole.
WIDTH_STEP = 64


class Generator:
    """Owns the memory of the rows, and keeps it from call to call."""

    def __init__(self, decoder: Decoder, *, stop_id: int | None) -> None:
        """`stop_id` ends a text; None: only the limit does."""
        self.decoder = decoder
        self.stop_id = stop_id
        self.max_rows = MAX_ROWS[decoder.device.type]
        self._memory: RowMemory | None = None
        self._num_rows = self.max_rows
        self._asked: MemoryShape | None = None
        """What the memory was made for; it may have fewer rows."""

    def halve(self) -> None:
        """Has half as many texts in flight from now on as there were, or were to be."""
        self.max_rows = max(1, min(self.max_rows, self._num_rows) // 2)
        self._memory = self._asked = None

    @torch.inference_mode()
    def answers(
        self, prefixes: Sequence[KeysValues], suffixes: Sequence[Sequence[int]], *, max_new_tokens: int
    ) -> list[list[list[int]]]:
        """Token ids per image and question: up to and with the stop token, or `max_new_tokens` of them.

        `prefixes` are one image's keys and values each (B = 1), all equally long.
        """
        answers: list[list[list[int]]] = [[[] for _ in suffixes] for _ in prefixes]
        waiting = deque(range(len(prefixes)))
        rows: list[Row] = []
        if waiting and suffixes:
            questions = _Questions(self.decoder, suffixes, prefixes[0].num_tokens)
            memory = self._memory_for(questions, len(prefixes), max_new_tokens)
        while waiting or rows:
            places = memory.free_places(rows)[: (memory.shape.num_rows - len(rows)) // questions.count]
            at_once = min(IMAGES_PER_ADMISSION[self.decoder.device.type], len(waiting))
            if waiting and (len(places) >= at_once or not rows):
                images = [waiting.popleft() for _ in places[:at_once]]
                rows += self._admit(images, places, prefixes, questions, memory, len(rows), max_new_tokens)
            else:
                most_steps = max_new_tokens - min(len(row.token_ids) for row in rows)
                for row, token_ids in zip(rows, memory.run(len(rows), most_steps)):
                    row.add(token_ids, self.stop_id, max_new_tokens)
            for row in rows:
                if row.is_finished:
                    answers[row.image][row.question] = row.token_ids
            rows = memory.without_finished(rows)
            memory.set_rows(rows)
        return answers

    def _admit(
        self,
        images: Sequence[int],
        places: Sequence[int],
        prefixes: Sequence[KeysValues],
        questions: "_Questions",
        memory: RowMemory,
        first: int,
        max_new_tokens: int,
    ) -> list[Row]:
        """Reads the questions about these images; their rows, from `first` on, have their first tokens then."""
        prefix = _joined([prefixes[image] for image in images])
        tokens, suffix = questions.read(prefix)
        rows = [
            Row(image, question, place) for image, place in zip(images, places) for question in range(questions.count)
        ]
        memory.fill(rows, first, prefix, suffix, questions.indices_QL, questions.lengths_Q, tokens)
        for row, token_id in zip(rows, tokens.flatten().tolist()):
            row.add([token_id], self.stop_id, max_new_tokens)
        return rows

    def _memory_for(self, questions: "_Questions", num_images: int, max_new_tokens: int) -> RowMemory:
        device = self.decoder.device
        needed = questions.longest + max_new_tokens + STEPS_PER_LOOK[device.type]
        shape = MemoryShape(
            num_rows=max(questions.count, min(self.max_rows, bucket_of(num_images * questions.count))),
            width=-(-needed // WIDTH_STEP) * WIDTH_STEP,
            num_questions=questions.count,
            num_shared=questions.start,
        )
        if self._memory is None or self._asked is None or not self._asked.holds(shape):
            # Freed before the new one is made, which has room for what the old one had.
            self._memory, self._asked = None, shape.with_room_for(self._asked)
            fitting = self._fitting(self._asked)
            self._num_rows = fitting.num_rows
            self._memory = RowMemory(self.decoder, fitting)
        return self._memory

    def _fitting(self, shape: MemoryShape) -> MemoryShape:
        """With as many rows as pay, in no more than half of the device memory that is free."""
        decoder = self.decoder
        if decoder.device.type != "cuda":
            return shape
        bytes_per_token = 2 * decoder.num_layers * decoder.num_kv_heads * decoder.head_size * decoder.dtype.itemsize
        torch.cuda.empty_cache()  # what PyTorch keeps for later would look taken
        num_free, _ = torch.cuda.mem_get_info(decoder.device)
        share = num_free / 2 / (bytes_per_token * shape.num_tokens)
        return replace(shape, num_rows=max(shape.num_questions, int(shape.num_rows * min(share, 1.0))))


class _Questions:
    """The ends of the prompts, after what they share: one sequence in which no question sees another."""

    def __init__(self, decoder: Decoder, suffixes: Sequence[Sequence[int]], start: int) -> None:
        self.decoder = decoder
        self.count = len(suffixes)
        self.start = start
        lengths = [len(suffix) for suffix in suffixes]
        self.longest = max(lengths)
        device = decoder.device
        self.lengths_Q = torch.tensor(lengths, device=device)
        self.token_ids = torch.tensor([token_id for suffix in suffixes for token_id in suffix], device=device)
        self.positions = torch.cat([start + torch.arange(length, device=device) for length in lengths])
        owner = torch.repeat_interleave(torch.arange(self.count, device=device), self.lengths_Q)
        own = (owner[:, None] == owner[None]) & (self.positions[None] <= self.positions[:, None])
        self.mask = torch.cat([own.new_ones(len(own), start), own], dim=1)
        ends_Q = self.lengths_Q.cumsum(0)
        self.lasts = ends_Q - 1
        indices_QL = (ends_Q - self.lengths_Q)[:, None] + torch.arange(self.longest, device=device)
        self.indices_QL = indices_QL.clamp(max=len(self.token_ids) - 1)
        """Of a question's tokens; a shorter one has those that come after it too."""

    def read(self, prefix: KeysValues) -> tuple[torch.Tensor, KeysValues]:
        """The first tokens of the answers (images, Q), and the keys and values of the questions."""
        num_images = len(prefix.keys[0])
        hidden_BQD, suffix = self.decoder.prefill(
            self.decoder.embed(self.token_ids).expand(num_images, -1, -1),
            self.positions,
            answers=self.lasts,
            past=prefix,
            mask=self.mask,
            keep=slice(self.start, None),
        )
        return self.decoder.next_tokens(hidden_BQD), suffix


def _joined(prefixes: Sequence[KeysValues]) -> KeysValues:
    return KeysValues(
        tuple(torch.cat(parts) for parts in zip(*(prefix.keys for prefix in prefixes))),
        tuple(torch.cat(parts) for parts in zip(*(prefix.values for prefix in prefixes))),
    )
