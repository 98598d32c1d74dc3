"""How the official code goes through its images, as something to be compared with.

One image and one prompt at a time; the image is encoded again for every prompt; logits over the whole vocabulary at
all positions of the prompt, and for the score all hidden states; texts through `generate`. Attention on a GPU is
PyTorch's fused one, as in the engines, for that of the package that the official code uses there; on a CPU, which that
package does not know, it is plain matrix products, as there.
Source: official evaluation code, commit 750d980, on transformers 4.37, read for what it computes; none of it is here.
"""

# B images, H and W pixels, C = 3 channels, S prompt tokens, D hidden size, K candidate tokens
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from artimuse.engines.answers import candidate_ids
from artimuse.engines.network import NetworkEngine
from artimuse.interfaces import BoolArray, FloatArray, PixelArray, Text


class OfficialLoop(NetworkEngine):
    """Implements `interfaces.Engine`."""

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator["LoopedImages"]:
        """Encodes nothing: each question does. The network is the engine's too, and gets its attention back."""
        model: Any = self.network.model
        model.set_attn_implementation("sdpa" if self.device.type == "cuda" else "eager")
        try:
            yield LoopedImages(self, pixels_BHWC)
        finally:
            model.set_attn_implementation("sdpa")


class LoopedImages:
    """Implements `interfaces.Images`."""

    def __init__(self, loop: OfficialLoop, pixels_BHWC: PixelArray) -> None:
        self.loop = loop
        self.pixels_BHWC = pixels_BHWC

    def __len__(self) -> int:
        return len(self.pixels_BHWC)

    @torch.inference_mode()
    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        token_ids = candidate_ids(self.loop.tokenizer, candidates)
        logits_BK = np.empty((len(self.pixels_BHWC), len(token_ids)), np.float32)
        for i in range(len(self.pixels_BHWC)):
            output = self.loop.network.model(inputs_embeds=self._prompt(i, question), output_hidden_states=True)
            # All of them in float32: so transformers 4.37 returns logits.
            logits_BK[i] = output.logits.float()[0, -1, token_ids].cpu().numpy()
        return logits_BK

    @torch.inference_mode()
    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        return [
            [self._answer(int(i), question, max_new_tokens) for question in questions] for i in np.flatnonzero(rows)
        ]

    def _answer(self, image: int, question: str, max_new_tokens: int) -> Text:
        reader = self.loop.reader
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=reader.stop_id, pad_token_id=reader.stop_id
        )
        prompt_1SD = self._prompt(image, question)
        mask = torch.ones(prompt_1SD.shape[:2], dtype=torch.long, device=prompt_1SD.device)
        model: Any = self.loop.network.model
        # 0 means all positions: on its own, transformers 5 would compute no more than the last.
        token_ids = model.generate(
            inputs_embeds=prompt_1SD, attention_mask=mask, generation_config=greedy, logits_to_keep=0
        )
        return reader.read(token_ids[0].tolist())

    def _prompt(self, image: int, question: str) -> torch.Tensor:
        """Embeddings (1, S, D) of the prompt with the image in its place."""
        return self.loop.prompt_embeddings(question, self.loop.encode(self.pixels_BHWC[image : image + 1]))
