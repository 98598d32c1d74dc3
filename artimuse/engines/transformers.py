"""The built-in engine: the native InternVL network of transformers, on one CPU or one GPU."""

# B images, H and W pixels, C = 3 channels, S prompt tokens, N image tokens, D hidden size, K candidate tokens
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from artimuse.configs import EngineConfig
from artimuse.interfaces import BoolArray, Capability, FloatArray, PixelArray, Text, Tokenizer
from artimuse.model.find import find_checkpoint
from artimuse.model.load import load_network

DEFAULT_BATCH_SIZE = {"cpu": 8, "cuda": 32}
"""Images per forward pass, by device."""

# ImageNet's statistics, with which the model was trained.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


class TransformersEngine:
    """Implements `interfaces.Engine`."""

    capabilities: frozenset[Capability] = frozenset({"logits"})

    def __init__(self, config: EngineConfig) -> None:
        self.device = _resolve_device(config.device)
        self.dtype = _resolve_dtype(config.dtype, self.device)
        self.batch_size = config.batch_size or DEFAULT_BATCH_SIZE[self.device.type]
        self.network = load_network(find_checkpoint(config.model), dtype=self.dtype, device=self.device)
        # transformers types it wider than it is: a list gives a list, and an unknown token gives None.
        self.tokenizer = cast(Tokenizer, self.network.tokenizer)
        self._prompts: dict[str, torch.Tensor] = {}

    @property
    def precision(self) -> dict[str, str]:
        """What `auto` became, for the fingerprint of a run: scores depend on it."""
        return {"device": self.device.type, "dtype": str(self.dtype).removeprefix("torch.")}

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator["EncodedImages"]:
        """Encodes in sub-batches; the embeddings are freed on leaving."""
        starts = range(0, len(pixels_BHWC), self.batch_size)
        images = EncodedImages(self, [self.encode(pixels_BHWC[start : start + self.batch_size]) for start in starts])
        try:
            yield images
        finally:
            images.embeddings.clear()

    @torch.inference_mode()
    def encode(self, pixels_BHWC: PixelArray) -> torch.Tensor:
        """Embeddings (B, N, D) of the images of one sub-batch.

        uint8 crosses to the device at a quarter of float32's size; it is normalised there, in float32.
        """
        pixels = torch.tensor(pixels_BHWC, device=self.device)  # copies: arrays from Ray are read-only
        mean, std = (torch.tensor(values, device=self.device) for values in (PIXEL_MEAN, PIXEL_STD))
        normalized = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).to(self.dtype)
        output = self.network.model.get_image_features(
            pixel_values=normalized, vision_feature_layer=-1, vision_feature_select_strategy="default"
        )
        return cast(torch.Tensor, output.pooler_output)

    @torch.inference_mode()
    def answer(self, embeddings_BND: torch.Tensor, question: str, token_ids: Sequence[int]) -> torch.Tensor:
        """Logits (B, K) of these tokens as the first answer token, for one sub-batch.

        All prompts are equally long, so nothing is padded. Only the asked rows of the output layer are computed,
        and in float32: bfloat16 logits near 20 would move in steps of 0.125.
        """
        model = self.network.model
        prompt_S = self._prompt(question)
        inputs_BSD = model.get_input_embeddings()(prompt_S).repeat(len(embeddings_BND), 1, 1)
        inputs_BSD[:, prompt_S == model.config.image_token_id] = embeddings_BND
        hidden_BSD = model.model.language_model(inputs_embeds=inputs_BSD, use_cache=False).last_hidden_state
        rows_KD = model.lm_head.weight[list(token_ids)]
        return functional.linear(hidden_BSD[:, -1].float(), rows_KD.float())

    def candidate_ids(self, candidates: Sequence[str]) -> list[int]:
        """Raises ValueError for a candidate that is not in the vocabulary."""
        token_ids = self.tokenizer.convert_tokens_to_ids(list(candidates))
        known = [token_id for token_id in token_ids if token_id is not None]
        if len(known) < len(candidates):
            raise ValueError("a candidate is not in the vocabulary; `strategy.check(engine.tokenizer)` says which")
        return known

    def _prompt(self, question: str) -> torch.Tensor:
        if question not in self._prompts:
            token_ids = self.network.template.token_ids(self.tokenizer, question)
            self._prompts[question] = torch.tensor(token_ids, device=self.device)
        return self._prompts[question]


class EncodedImages:
    """Implements `interfaces.Images`."""

    def __init__(self, engine: TransformersEngine, embeddings: list[torch.Tensor]) -> None:
        self.engine = engine
        self.embeddings = embeddings
        """One (B, N, D) per sub-batch."""

    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        token_ids = self.engine.candidate_ids(candidates)
        parts = [self.engine.answer(part, question, token_ids).cpu().numpy() for part in self.embeddings]
        return np.concatenate([np.empty((0, len(token_ids)), np.float32), *parts])

    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        raise NotImplementedError("the transformers engine answers with logits only; see `capabilities`")


def _resolve_device(device: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("device cuda was asked for, but torch finds no CUDA device here; use auto or cpu")
    return torch.device(("cuda" if has_cuda else "cpu") if device == "auto" else device)


def _resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return cast(torch.dtype, getattr(torch, dtype))
