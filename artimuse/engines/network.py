"""What the engines on transformers' InternVL network have in common: the network, its prompts, its view of an image."""

# B images, H and W pixels, C = 3 channels, S prompt tokens, N image tokens, D hidden size
from typing import cast

import torch

from artimuse.configs.engine import DType, EngineConfig, chosen_dtype
from artimuse.engines.answers import AnswerReader
from artimuse.engines.pixels import normalize
from artimuse.interfaces import Capability, PixelArray, Tokenizer
from artimuse.model.find import find_checkpoint
from artimuse.model.load import Network, load_network


class NetworkEngine:
    """Holds a network on one CPU or one GPU."""

    capabilities: frozenset[Capability] = frozenset({"logits", "texts"})
    max_candidates: int | None = None

    def __init__(self, config: EngineConfig, network: Network | None = None) -> None:
        """Loads the network, unless one is given. Raises BadCheckpoint if it is missing or not loadable."""
        self.config = config
        self.device = resolve_device(config.device)
        self.dtype = resolve_dtype(config.dtype, self.device)
        self.network = network or load_network(find_checkpoint(config.model), dtype=self.dtype, device=self.device)
        # transformers types it wider than it is: a list gives a list, and an unknown token gives None.
        self.tokenizer = cast(Tokenizer, self.network.tokenizer)
        self.reader = AnswerReader(self.network.tokenizer)
        self._prompts: dict[str, torch.Tensor] = {}

    @property
    def precision(self) -> dict[str, str]:
        """What `auto` became, for the fingerprint of a run: scores depend on it."""
        return {"device": self.device.type, "dtype": chosen_dtype(self.config.dtype, self.device.type)}

    @torch.inference_mode()
    def encode(self, pixels_BHWC: PixelArray) -> torch.Tensor:
        """Embeddings (B, N, D) of the images of one sub-batch."""
        output = self.network.model.get_image_features(
            pixel_values=normalize(self.on_device(pixels_BHWC), self.dtype),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
        return cast(torch.Tensor, output.pooler_output)

    def on_device(self, pixels_BHWC: PixelArray) -> torch.Tensor:
        """uint8 crosses to the device at a quarter of float32's size; it is normalised there, in float32."""
        if self.device.type != "cuda":
            return torch.tensor(pixels_BHWC)  # copies: arrays from Ray are read-only
        # From memory that stays where it is, the device fetches by itself while it computes.
        pinned = torch.empty(pixels_BHWC.shape, dtype=torch.uint8, pin_memory=True)
        pinned.numpy()[...] = pixels_BHWC
        return pinned.to(self.device, non_blocking=True)

    def prompt_ids(self, question: str) -> torch.Tensor:
        """Token ids (S) of the whole prompt."""
        if question not in self._prompts:
            token_ids = self.network.template.token_ids(self.tokenizer, question)
            self._prompts[question] = torch.tensor(token_ids, device=self.device)
        return self._prompts[question]

    def prompt_embeddings(
        self, question: str, embeddings_BND: torch.Tensor, num_tokens: int | None = None
    ) -> torch.Tensor:
        """Embeddings (B, S, D) of the prompt, or of its first tokens, with the images in their places.

        All prompts of a question are equally long, so nothing is padded.
        """
        model = self.network.model
        prompt_S = self.prompt_ids(question)[:num_tokens]
        inputs_BSD = model.get_input_embeddings()(prompt_S).repeat(len(embeddings_BND), 1, 1)
        inputs_BSD[:, prompt_S == model.config.image_token_id] = embeddings_BND
        return cast(torch.Tensor, inputs_BSD)


def resolve_device(device: str) -> torch.device:
    """Raises ValueError for cuda where there is none."""
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("device cuda was asked for, but torch finds no CUDA device here; use auto or cpu")
    return torch.device(("cuda" if has_cuda else "cpu") if device == "auto" else device)


def resolve_dtype(dtype: DType, device: torch.device) -> torch.dtype:
    """What most of the network has: auto is bfloat16 on GPUs and float32 on CPUs, and fp8 leaves bfloat16 around it."""
    chosen = chosen_dtype(dtype, device.type)
    return torch.bfloat16 if chosen == "fp8" else cast(torch.dtype, getattr(torch, chosen))
