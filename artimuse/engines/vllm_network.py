"""The network as vLLM runs it: vLLM's modules around our reading of checkpoints, prompts and pixels.

It enters through the places that vLLM has for it: a configuration format, a load format, an architecture with its
processor. So configuration and weights reach vLLM from our loader only, and it needs neither a tokenizer nor an image
processor. Written for vLLM 0.32.
"""

# B images, H and W pixels, C = 3 channels, V vision hidden size, N image tokens, D hidden size, S tokens
import gc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import nn
from transformers import BatchFeature, InternVLConfig
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector
from vllm import LLM, ModelRegistry
from vllm.config import ModelConfig, VllmConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.models.interfaces import SupportsMultiModal
from vllm.model_executor.models.interns1_vit import InternS1VisionModel
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper, init_vllm_registered_model, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import MultiModalDataItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptReplacement,
)
from vllm.platforms import current_platform
from vllm.transformers_utils.config import register_config_parser
from vllm.transformers_utils.config_parser_base import ConfigParserBase

from artimuse.configs.engine import EngineConfig
from artimuse.engines.pixels import normalize
from artimuse.errors import ArtiMuseError, EngineFailed
from artimuse.images.decode import IMAGE_SIZE_PX
from artimuse.model.find import find_checkpoint
from artimuse.model.load import CheckpointSpec, read_spec

FORMAT = "artimuse"
ARCHITECTURE = "ArtiMuse"
SHARE_OF_GPU = 0.9
"""The share of the GPU's memory for weights, activations, and keys and values in all that is left."""
MOST_TOKENS = 8192
"""The most tokens of a prompt with its answer: ten times what is usual. Memory for one is taken at the start."""
CPU_TOKENS = 65_536
"""Room for keys and values on the CPU, where vLLM would take nearly all memory: of about a hundred prompts."""
PIXEL_CACHE_GIB = 0.25
"""Four hundred images between the questions about them."""

_running: "WeakSet[LLM]" = WeakSet()


def open_llm(spec: CheckpointSpec, config: EngineConfig, *, device: torch.device, dtype: torch.dtype) -> LLM:
    """Starts vLLM in this process. Raises EngineFailed if it cannot, or runs here already."""
    if current_platform.device_type != device.type:
        raise EngineFailed(
            f"the vLLM installed here runs on {current_platform.device_type or 'no device of this machine'},"
            f" not on {device.type}; use the engine transformers"
        )
    # One that nobody holds any more lives on in cycles, and would take what both share with it when it goes.
    gc.collect()
    if _running:
        raise EngineFailed("vLLM runs once in a process, and does so already; let go of the other engine first")
    text = spec.config.get_text_config()
    try:
        llm = LLM(
            str(spec.checkpoint.directory),
            config_format=FORMAT,
            load_format=FORMAT,
            skip_tokenizer_init=True,
            dtype=str(dtype).removeprefix("torch."),
            max_model_len=min(text.max_position_embeddings, MOST_TOKENS),
            max_num_seqs=config.batch_size,
            limit_mm_per_prompt={"image": 1},
            enable_prefix_caching=True,
            mm_processor_cache_gb=PIXEL_CACHE_GIB,
            # Not the logarithms of probabilities: those would take the whole vocabulary's.
            logprobs_mode="raw_logits",
            **_memory(text, config, device, dtype),
        )
    except ArtiMuseError:
        raise
    # Too little memory, a missing kernel: vLLM raises exceptions of many kinds.
    except Exception as error:
        raise EngineFailed(f"vLLM does not start: {' '.join(str(error).split())}") from error
    _running.add(llm)
    return llm


def _memory(text: Any, config: EngineConfig, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    if device.type != "cpu":
        return {"gpu_memory_utilization": SHARE_OF_GPU * config.gpu_share}
    head_size = text.hidden_size // text.num_attention_heads
    token_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * head_size * dtype.itemsize
    # Eager: compiling takes longer there than what it saves.
    return {"kv_cache_memory_bytes": CPU_TOKENS * token_bytes, "enforce_eager": True}


@register_config_parser(FORMAT)
class CheckpointConfig(ConfigParserBase):
    """Reads config.json as the built-in engine does."""

    def parse(self, model: str | Path, *_: Any, **__: Any) -> tuple[dict[str, Any], InternVLConfig]:
        config = read_spec(find_checkpoint(str(model))).config
        config.architectures = [ARCHITECTURE]
        for part in (config, config.get_text_config()):
            # Of logits rounded to bfloat16 the expected score would be a staircase.
            part.head_dtype = "float32"
        return {}, config


@register_model_loader(FORMAT)
class CheckpointLoader(BaseModelLoader):
    """Reads weights as the built-in engine does."""

    def download_model(self, model_config: ModelConfig) -> None:
        """Nothing to do: the model is a directory."""

    def load_weights(self, model: "ArtiMuseModel", model_config: ModelConfig) -> None:
        spec = read_spec(find_checkpoint(model_config.model))
        loaded = model.load_weights(spec.weights(model_config.dtype, "cpu"))
        missing = {name for name, _ in model.named_parameters()} - loaded
        assert not missing, missing


class ImageInfo(BaseProcessingInfo):
    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": 1}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"image": self.get_hf_config().image_seq_length}

    @property
    def image_tokens(self) -> list[int]:
        config = self.get_hf_config()
        return [config.image_token_id] * config.image_seq_length


class PlainImages(BaseDummyInputsBuilder[ImageInfo]):
    """What vLLM measures its need of memory with."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any) -> Any:
        plain_HWC = np.zeros((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), np.uint8)
        return {"image": [plain_HWC] * mm_counts.get("image", 0)}


class PixelsProcessor(BaseMultiModalProcessor[ImageInfo]):
    """Hands on pixels and prompts as they are."""

    requires_tokenizer = False

    def get_dummy_inputs(self, *arguments: Any, **options: Any) -> ProcessorInputs:
        inputs = super().get_dummy_inputs(*arguments, **options)
        inputs.prompt = self.info.image_tokens
        return inputs

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        images = [image for items in mm_items.values() for image in items]
        return BatchFeature({"pixels": torch.from_numpy(np.stack(images))} if images else {})

    def _get_mm_fields_config(self, *_: Any, **__: Any) -> Mapping[str, MultiModalFieldConfig]:
        return {"pixels": MultiModalFieldConfig.batched("image")}

    def _get_prompt_updates(self, *_: Any, **__: Any) -> Sequence[PromptReplacement]:
        # By itself: so vLLM learns where the image is in a prompt that is already whole.
        return [PromptReplacement("image", target=self.info.image_tokens, replacement=self.info.image_tokens)]


@MULTIMODAL_REGISTRY.register_processor(PixelsProcessor, info=ImageInfo, dummy_inputs=PlainImages)
class ArtiMuseModel(nn.Module, SupportsMultiModal):
    """vLLM's vision network and Qwen2, with transformers' projector between them."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            "lm_head.": "language_model.lm_head.",
            "model.language_model.": "language_model.model.",
            "model.vision_tower.": "vision_tower.",
            "model.multi_modal_projector.": "multi_modal_projector.",
        }
    )

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config = self.config = vllm_config.model_config.hf_config
        with self._mark_tower_model(vllm_config, "image"):
            self.vision_tower = InternS1VisionModel(config.vision_config, prefix=maybe_prefix(prefix, "vision_tower"))
            self.multi_modal_projector = InternVLMultiModalProjector(config)
        with self._mark_language_model(vllm_config):
            self.language_model = init_vllm_registered_model(
                vllm_config,
                hf_config=config.get_text_config(),
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=["Qwen2ForCausalLM"],
            )

    def embed_multimodal(self, **fields: Any) -> Sequence[torch.Tensor]:
        """One (N, D) per image of the field `pixels` (B, H, W, C)."""
        if not fields:
            return []
        pixels_BCHW = normalize(fields["pixels"], self.multi_modal_projector.linear_1.weight.dtype)
        patches_BPV = self.vision_tower(pixels_BCHW)[:, 1:]
        num_images, num_patches, _ = patches_BPV.shape
        block = round(1 / self.config.downsample_ratio)
        side = round(num_patches**0.5) // block
        # The patches of a square block become one image token.
        blocks = patches_BPV.reshape(num_images, side, block, side, block, -1).transpose(2, 3)
        return self.multi_modal_projector(blocks.reshape(num_images, side * side, -1)).unbind()

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        **_: Any,
    ) -> torch.Tensor:
        return self.language_model.model(input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_SD: torch.Tensor) -> torch.Tensor | None:
        return self.language_model.compute_logits(hidden_SD)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)


ModelRegistry.register_model(ARCHITECTURE, ArtiMuseModel)
