"""From a checkpoint on disk to a network on its device, a few tensors at a time: no second copy of the weights."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from os import cpu_count
from pathlib import Path

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Tokenizer

from artimuse.errors import BadCheckpoint
from artimuse.io.prefetch import prefetch
from artimuse.model.build import empty_model, fill
from artimuse.model.config_file import ConfigFile
from artimuse.model.find import Checkpoint
from artimuse.model.layout import Layout, Source, Sources, Weights
from artimuse.model.native import NATIVE
from artimuse.model.official import OFFICIAL
from artimuse.model.reading import TYPES, TensorReader
from artimuse.model.shards import StoredTensor, expected_path, stored_tensors
from artimuse.model.template import IMAGE_TOKEN, ChatTemplate
from artimuse.model.tokenizer_files import read_tokenizer

LAYOUTS: dict[str, Layout] = {layout.architecture: layout for layout in (OFFICIAL, NATIVE)}
"""The layouts by the architecture that config.json names."""

LORA_SCALE = 2.0
"""alpha / rank: the official code always sets alpha to twice the rank."""

# A GPU's bus takes what several cores read; each of them holds a tensor that nobody has taken yet.
NUM_THREADS = min(8, cpu_count() or 1)

_HEAD = "lm_head.weight"
VOCABULARY_WEIGHTS = ("model.language_model.embed_tokens.weight", _HEAD)
"""The weights that have a row for each token."""


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded checkpoint, ready for inference."""

    model: InternVLForConditionalGeneration
    """The network in eval mode, without gradients; its `config.image_token_id` is the tokenizer's."""
    tokenizer: Qwen2Tokenizer
    template: ChatTemplate
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class CheckpointSpec:
    """A checkpoint that has been found whole and fit to run, before its weights are read."""

    config: InternVLConfig
    """The configuration of the native network; its `image_token_id` is the tokenizer's."""
    tokenizer: Qwen2Tokenizer
    template: ChatTemplate
    checkpoint: Checkpoint
    sources: Sources
    stored: Mapping[str, StoredTensor]
    first_new_id: int | None = None
    """The first token that is not the checkpoint's, but was added by `with_tokens`."""

    def with_tokens(self, tokens: Sequence[str]) -> "CheckpointSpec":
        """The same checkpoint with these tokens at the end of the vocabulary; itself if it has them all.

        Their embeddings begin as the mean of all others. Raises BadCheckpoint if it has some of them only.
        """
        known = self.tokenizer.get_vocab()
        missing = [token for token in tokens if token not in known]
        if not missing:
            return self
        if len(missing) < len(tokens):
            raise BadCheckpoint(f"{self.checkpoint.name}: has {len(tokens) - len(missing)} of {len(tokens)} new tokens")
        first = len(self.tokenizer)
        self.tokenizer.add_tokens(missing)
        config = copy.deepcopy(self.config)
        text = config.get_text_config()
        text.vocab_size = max(text.vocab_size, len(self.tokenizer))
        return replace(self, config=config, first_new_id=first)

    def with_system_message(self, message: str) -> "CheckpointSpec":
        """The same checkpoint with prompts that begin with this message."""
        return replace(self, template=replace(self.template, system_message=message))

    def weights(self, dtype: torch.dtype, device: torch.device | str) -> Weights:
        """Native names and weights, read a few at a time; LoRA is merged in float32, on the device.

        The output layer's is left out if it is the input embeddings' one.
        Raises BadCheckpoint for float16 if any weight is stored in bfloat16.
        """
        _refuse_half_of_bfloat16(self.stored, dtype)
        reader = TensorReader(device)

        def read(name: str) -> tuple[str, torch.Tensor]:
            weight = _weight(self.sources[name], self.stored, reader)
            if name in VOCABULARY_WEIGHTS:
                weight = _with_rows(weight, self.config.get_text_config().vocab_size)
            return name, weight.to(dtype)

        with (
            ThreadPoolExecutor(NUM_THREADS, "weights") as threads,
            closing(prefetch(read, self.sources, threads=threads, ahead=NUM_THREADS)) as weights,
        ):
            yield from weights


def load_network(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device | str) -> Network:
    """Raises BadCheckpoint, naming file and key, for anything this version cannot run exactly as it was trained."""
    spec = read_spec(checkpoint)
    model = empty_model(spec.config)
    fill(model, spec.weights(dtype, device), torch.device(device))
    return Network(model, spec.tokenizer, spec.template, checkpoint)


def read_spec(checkpoint: Checkpoint) -> CheckpointSpec:
    """Reads either layout. Raises BadCheckpoint as `load_network` does, before any weight is read."""
    directory = checkpoint.directory
    file = ConfigFile.read(directory)
    layout = _find_layout(file)
    config = layout.network_config(file)
    tokenizer = read_tokenizer(directory, config.get_text_config().vocab_size)
    template = ChatTemplate.of(file.values, config)
    config.image_seq_length = template.num_image_tokens
    [config.image_token_id] = tokenizer.encode(IMAGE_TOKEN, add_special_tokens=False)
    stored = stored_tensors(directory)
    shapes = {name: tuple(weight.shape) for name, weight in empty_model(config).state_dict().items()}
    sources = layout.sources(shapes, stored)
    # A stored output layer counts for more than what config.json says.
    is_tied = config.tie_word_embeddings and sources[_HEAD].key not in stored
    config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = is_tied
    if is_tied:
        del sources[_HEAD]
    _check(directory, sources, stored, shapes)
    return CheckpointSpec(config, tokenizer, template, checkpoint, sources, stored)


def _find_layout(config: ConfigFile) -> Layout:
    config.expect("architectures", tuple([name] for name in LAYOUTS))
    return LAYOUTS[config.get("architectures")[0]]


def _refuse_half_of_bfloat16(stored: Mapping[str, StoredTensor], dtype: torch.dtype) -> None:
    for key, tensor in stored.items():
        if dtype == torch.float16 and tensor.dtype == "BF16":
            raise BadCheckpoint(f"{tensor.path}: {key} is stored in bfloat16, whose range float16 lacks; use bfloat16")


def _check(
    directory: Path,
    sources: Sources,
    stored: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises BadCheckpoint on the first tensor that is missing, has another shape, or is not used."""
    used: set[str] = set()
    for name, source in sources.items():
        for key, shape in _expected_shapes(source, shapes[name], stored):
            if key not in stored:
                raise BadCheckpoint(f"{expected_path(directory, key)}: the tensor {key} is missing")
            if stored[key].shape != shape:
                raise BadCheckpoint(
                    f"{stored[key].path}: {key} has shape {stored[key].shape}, config.json implies {shape}"
                )
            used.add(key)
            if stored[key].dtype not in TYPES:
                raise BadCheckpoint(
                    f"{stored[key].path}: {key} is stored as {stored[key].dtype}, supported: {', '.join(TYPES)}"
                )
    for key in sorted(stored.keys() - used):
        raise BadCheckpoint(f"{stored[key].path}: unexpected tensor {key}; the network has no place for it")


def _expected_shapes(
    source: Source, shape: tuple[int, ...], stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if source.part is not None:
        shape = (3 * shape[0], *shape[1:])
    yield source.key, shape
    if source.lora:
        key_a, key_b = source.lora
        rank = stored[key_a].shape[0] if key_a in stored else 0
        yield from ((key_a, (rank, shape[1])), (key_b, (shape[0], rank)))


def _weight(source: Source, stored: Mapping[str, StoredTensor], reader: TensorReader) -> torch.Tensor:
    """One native weight as stored, or in float32 if a LoRA was merged into it."""
    weight = reader(stored[source.key])
    if source.lora:
        matrix_a, matrix_b = (reader(stored[key]).float() for key in source.lora)
        weight = weight.float().addmm_(matrix_b, matrix_a, alpha=LORA_SCALE)
    # A copy, or a third would keep the whole tensor in memory.
    return weight if source.part is None else weight.chunk(3)[source.part].clone()


def _with_rows(weight: torch.Tensor, num_rows: int) -> torch.Tensor:
    missing = num_rows - len(weight)
    if not missing:
        return weight
    return torch.cat([weight, weight.float().mean(0, keepdim=True).to(weight.dtype).repeat(missing, 1)])
