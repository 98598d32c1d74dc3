"""The reference: one image and one question at a time, through transformers' own forward pass and `generate`.

Slow on purpose. Other engines are compared with it (`pipelines/parity.py`), so it shares no shortcut with them.
"""

# B images, H and W pixels, C = 3 channels, S prompt tokens, D hidden size, K candidate tokens
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import GenerationConfig

from artimuse.engines.answers import candidate_ids
from artimuse.engines.network import NetworkEngine
from artimuse.interfaces import BoolArray, FloatArray, PixelArray, Text


class ExactEngine(NetworkEngine):
    """Implements `interfaces.Engine`."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator["ExactImages"]:
        yield ExactImages(self, pixels_BHWC)


class ExactImages:
    """Implements `interfaces.Images`."""

    def __init__(self, engine: ExactEngine, pixels_BHWC: PixelArray) -> None:
        self.engine = engine
        self.pixels_BHWC = pixels_BHWC

    def __len__(self) -> int:
        return len(self.pixels_BHWC)

    @torch.inference_mode()
    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        token_ids = candidate_ids(self.engine.tokenizer, candidates)
        model = self.engine.network.model
        logits_BK = np.empty((len(self.pixels_BHWC), len(token_ids)), np.float32)
        for i in range(len(self.pixels_BHWC)):
            inputs_1SD = self._inputs(i, question)
            hidden_1SD = model.model.language_model(inputs_embeds=inputs_1SD, use_cache=False).last_hidden_state
            rows_KD = model.lm_head.weight[token_ids]
            logits_BK[i] = functional.linear(hidden_1SD[0, -1].float(), rows_KD.float()).cpu().numpy()
        return logits_BK

    @torch.inference_mode()
    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        return [
            [self._answer(int(i), question, max_new_tokens) for question in questions] for i in np.flatnonzero(rows)
        ]

    def _answer(self, image: int, question: str, max_new_tokens: int) -> Text:
        reader = self.engine.reader
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=reader.stop_id, pad_token_id=reader.stop_id
        )
        inputs_1SD = self._inputs(image, question)
        model: Any = self.engine.network.model
        mask = torch.ones(inputs_1SD.shape[:2], dtype=torch.long, device=inputs_1SD.device)
        token_ids = model.generate(inputs_embeds=inputs_1SD, attention_mask=mask, generation_config=greedy)
        return reader.read(token_ids[0].tolist())

    def _inputs(self, image: int, question: str) -> torch.Tensor:
        """The prompt's embeddings (1, S, D), with the image's in their place."""
        embeddings_1ND = self.engine.encode(self.pixels_BHWC[image : image + 1])
        return self.engine.prompt_embeddings(question, embeddings_1ND)
