"""The built-in engine: the native InternVL network of transformers, on one CPU or one GPU, near its limit.

An image is encoded once, and the part of the prompt up to it is read once: the first question stores its keys and
values, and all others start from there. Only the answer positions leave the last layer, and only the asked rows of
the output layer are computed.
"""

# B images, H and W pixels, C = 3 channels, N image tokens, D hidden size, K candidate tokens
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional

from artimuse.configs.engine import EngineConfig
from artimuse.engines.answers import candidate_ids
from artimuse.engines.decoder import Beginning, Decoder, KeysValues
from artimuse.engines.generation import Generator
from artimuse.engines.linear import refuse_without_fp8
from artimuse.engines.memory import is_out_of_memory, probe_batch_size
from artimuse.engines.network import NetworkEngine
from artimuse.engines.pixels import normalize
from artimuse.engines.vision import VisionEncoder
from artimuse.errors import OutOfMemory
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.interfaces import BoolArray, FloatArray, PixelArray, Text
from artimuse.model.load import Network
from artimuse.model.template import END_OF_IMAGE
from artimuse.prompts import SCORE_QUESTION

logger = logging.getLogger(__name__)

# Matrix products are no faster with more images, and what lies between them stays in the cache.
CPU_BATCH_SIZE = 2
Result = TypeVar("Result")


class TransformersEngine(NetworkEngine):
    """Implements `interfaces.Engine`."""

    def __init__(self, config: EngineConfig, network: Network | None = None) -> None:
        """Takes over the network, if one is given.

        Raises BadCheckpoint for one that this engine cannot run, EngineFailed if the GPU or its software cannot.
        """
        super().__init__(config, network)
        if config.dtype == "fp8":
            refuse_without_fp8(self.device)
        self.decoder = Decoder(self.network.model, in_fp8=config.dtype == "fp8")
        self.vision = VisionEncoder(self.network.model)
        self._kept_beginning: Beginning | None = None
        self.generator = Generator(self.decoder, stop_id=self.reader.stop_id)
        self.batch_size = config.batch_size or self._fitting_batch_size()
        """Images per forward pass."""
        self._has_halved = False

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator["EncodedImages"]:
        """Encodes in sub-batches; what is kept of the images is freed on leaving."""
        images = EncodedImages(self, pixels_BHWC)
        try:
            yield images
        finally:
            images.batches.clear()

    @torch.inference_mode()
    def encode(self, pixels_BHWC: PixelArray) -> torch.Tensor:
        """Embeddings (B, N, D) of the images of one sub-batch."""
        return self.vision(normalize(self.on_device(pixels_BHWC), self.dtype))

    @torch.inference_mode()
    def read_prompt(
        self, question: str, embeddings_BND: torch.Tensor, *, num_tokens: int | None = None
    ) -> tuple[torch.Tensor, KeysValues]:
        """The hidden state (B, D) at the end of the prompt, or of its first tokens; keys and values up to the image."""
        beginning = self._beginning(question)
        num_known = beginning[0].shape[1]
        hidden_BSD = self.prompt_embeddings(question, embeddings_BND, num_tokens)[:, num_known:]
        num_new = hidden_BSD.shape[1]
        hidden_B1D, prefix = self.decoder.prefill(
            hidden_BSD,
            torch.arange(num_known, num_known + num_new, device=self.device),
            answers=torch.tensor([num_new - 1], device=self.device),
            beginning=beginning,
            keep=slice(0, self.prefix_length(question)),
        )
        return hidden_B1D[:, 0], prefix

    def _beginning(self, question: str) -> Beginning:
        """What comes before the image: the same for all images and questions."""
        if self._kept_beginning is None:
            prompt_S = self.prompt_ids(question)
            is_image_S = prompt_S == self.network.model.config.image_token_id
            self._kept_beginning = self.decoder.read_beginning(prompt_S[: int(is_image_S.nonzero()[0])])
        return self._kept_beginning

    def prefix_length(self, question: str) -> int:
        """Tokens of the prompt up to the end of the image, which is a token of its own: the same for all questions."""
        [end_id] = self.tokenizer.encode(END_OF_IMAGE, add_special_tokens=False)
        return self.prompt_ids(question).tolist().index(end_id) + 1

    def halve(self, error: RuntimeError) -> None:
        """Takes half as much at a time from now on, once in the life of the engine; texts in flight as well.

        Raises OutOfMemory if that has been done; the error again if it is not about memory.
        """
        if not is_out_of_memory(error):
            raise error
        if self._has_halved:
            first_line = str(error).splitlines()[0]
            raise OutOfMemory(f"no memory for {self.batch_size} images at a time ({first_line})") from error
        self._has_halved = True
        self.batch_size = max(1, self.batch_size // 2)
        self.generator.halve()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("out of memory, going on with half the images at a time batch_size=%d", self.batch_size)

    def _fitting_batch_size(self) -> int:
        if self.device.type == "cpu":
            return CPU_BATCH_SIZE
        plain = np.zeros((1, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)

        def run(size: int) -> object:
            return self.read_prompt(SCORE_QUESTION, self.encode(np.repeat(plain, size, axis=0)))

        return probe_batch_size(run, self.device)


@dataclass(slots=True)
class _Batch:
    embeddings_BND: torch.Tensor
    prefix: KeysValues | None = None
    """Keys and values of the prompt up to the image, once a question has been asked."""


class EncodedImages:
    """Implements `interfaces.Images`."""

    def __init__(self, engine: TransformersEngine, pixels_BHWC: PixelArray) -> None:
        self.engine = engine
        self.pixels_BHWC = pixels_BHWC
        self.batches: list[_Batch] = []
        self._in_memory(self._encode)

    def __len__(self) -> int:
        return len(self.pixels_BHWC)

    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        token_ids = candidate_ids(self.engine.tokenizer, candidates)
        return self._in_memory(lambda: self._logits(question, token_ids))

    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        if not questions:
            return [[] for _ in range(int(rows.sum()))]
        return self._in_memory(lambda: self._generate(questions, rows, max_new_tokens))

    def _encode(self) -> None:
        size = self.engine.batch_size
        starts = range(0, len(self.pixels_BHWC), size)
        self.batches = [_Batch(self.engine.encode(self.pixels_BHWC[start : start + size])) for start in starts]

    @torch.inference_mode()
    def _logits(self, question: str, token_ids: Sequence[int]) -> FloatArray:
        """The logits in float32: bfloat16 logits near 20 would move in steps of 0.125."""
        rows_KD = self.engine.decoder.head_weight[list(token_ids)].float()
        parts = [rows_KD.new_empty(0, len(token_ids))]
        for batch in self.batches:
            hidden_BD, batch.prefix = self.engine.read_prompt(question, batch.embeddings_BND)
            parts.append(functional.linear(hidden_BD.float(), rows_KD))
        # To the host at the end: the device would stand still while it waits for the next batch.
        return torch.cat(parts).cpu().numpy()

    def _generate(self, questions: Sequence[str], rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        length = self.engine.prefix_length(questions[0])
        prefixes = []
        for batch in self.batches:
            if batch.prefix is None:
                batch.prefix = self.engine.read_prompt(questions[0], batch.embeddings_BND, num_tokens=length)[1]
            prefixes += [batch.prefix.select(slice(i, i + 1)) for i in range(len(batch.embeddings_BND))]
        answers = self.engine.generator.answers(
            [prefixes[i] for i in np.flatnonzero(rows)],
            [self.engine.prompt_ids(question)[length:].tolist() for question in questions],
            max_new_tokens=max_new_tokens,
        )
        return [[self.engine.reader.read(token_ids) for token_ids in texts] for texts in answers]

    def _in_memory(self, run: Callable[[], Result]) -> Result:
        """Runs; on too little memory once more, with the images encoded again in smaller batches."""
        try:
            return run()
        except RuntimeError as error:
            self.batches.clear()
            self.engine.halve(error)
        try:
            self._encode()
            return run()
        except RuntimeError as error:
            self.engine.halve(error)
            raise
