"""The two stages of the paper (section 4.3, table 11 and appendix D.1) as named configurations.

Where the values come from that the paper leaves open is in docs/training.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, get_args

import tyro

from artimuse.configs.train import PresetName, TrainConfig


class Preset(Protocol):
    """A configuration that needs ANNOTATIONS and OUTPUT only; everything else may be overridden."""

    def __call__(self, annotations: str, output: str, **overrides: Any) -> TrainConfig: ...


def paper_text_pretrain(annotations: str, output: str, **overrides: Any) -> TrainConfig:
    """Stage 1: every attribute text of all three kinds of data."""
    stage: dict[str, Any] = {
        "system_message": "internvl",
        "targets": "texts",
        "kinds": ("score", "partial_text", "expert"),
        "lora_rank": 16,
        "learning_rate": 4e-5,
        "weight_decay": 0.05,
        "epochs": 1,
    }
    return TrainConfig(annotations=annotations, output=output, preset="paper_text_pretrain", **{**stage, **overrides})


def paper_score_finetune(annotations: str, output: str, **overrides: Any) -> TrainConfig:
    """Stage 2: the score, on the kinds that have one. `base` is to be the export of stage 1."""
    stage: dict[str, Any] = {
        "system_message": "internvl",
        "targets": "scores",
        "kinds": ("score", "expert"),
        "lora_rank": 128,
        "learning_rate": 2e-5,
        "weight_decay": 0.0,
        "epochs": 2,
    }
    return TrainConfig(annotations=annotations, output=output, preset="paper_score_finetune", **{**stage, **overrides})


def nano_base(annotations: str, output: str, **overrides: Any) -> TrainConfig:
    """What nano knows before the paper's stages: all weights, on captions and on the form of answers.

    It stands for InternVL3's own training.
    """
    stage: dict[str, Any] = {
        "targets": "answers",
        "language_model": "full",
        "lora_rank": 1,
        "learning_rate": 1e-3,
        "vision_learning_rate": 2e-4,
        "weight_decay": 0.05,
        "epochs": 4,
        "batch_size": 16,
        "questions_together": 2,
    }
    return TrainConfig(annotations=annotations, output=output, preset="nano_base", **{**NANO, **stage, **overrides})


def nano_text_pretrain(annotations: str, output: str, **overrides: Any) -> TrainConfig:
    """Stage 1 for a network of a million weights, which needs far higher learning rates than the paper's."""
    stage: dict[str, Any] = {
        "targets": "texts",
        "lora_rank": 64,
        "learning_rate": 1e-3,
        "vision_learning_rate": 2e-5,
        "weight_decay": 0.05,
        "epochs": 1,
        "batch_size": 32,
        "micro_batch_size": 16,
        "questions_together": 8,
    }
    return TrainConfig(
        annotations=annotations, output=output, preset="nano_text_pretrain", **{**NANO, **stage, **overrides}
    )


def nano_score_finetune(annotations: str, output: str, **overrides: Any) -> TrainConfig:
    """Stage 2 for the built-in model: scores."""
    stage: dict[str, Any] = {
        "targets": "scores",
        "lora_rank": 16,
        "learning_rate": 2e-4,
        "vision_learning_rate": 1e-6,
        # All that the language model sees goes through the projector: when it learnt like the other weights, four in
        # ten sentences that had named the right class after stage 1 no longer did.
        "projector_learning_rate": 1e-6,
        "weight_decay": 0.0,
        "epochs": 2,
        "batch_size": 16,
    }
    return TrainConfig(
        annotations=annotations, output=output, preset="nano_score_finetune", **{**NANO, **stage, **overrides}
    )


NANO: dict[str, Any] = {
    "base": "build/nano/random",
    "system_message": "base",
    "kinds": ("expert",),
    "lora_dropout": 0.0,
    "micro_batch_size": 8,
    "gradient_checkpointing": False,
    "workers": "2",
    "device": "cpu",
    "dtype": "float32",
    "checkpoint_steps": 1000,
    "tracker": "none",
}
"""What the stages of the built-in model share: two workers with a core each."""

PRESETS: dict[PresetName, Preset] = {
    "paper_text_pretrain": paper_text_pretrain,
    "paper_score_finetune": paper_score_finetune,
    "nano_base": nano_base,
    "nano_text_pretrain": nano_text_pretrain,
    "nano_score_finetune": nano_score_finetune,
}
assert set(PRESETS) == set(get_args(PresetName))


def asked_for(arguments: Sequence[str]) -> TrainConfig:
    """The defaults of `artimuse train`: those of the preset that the arguments name.

    Without one they are those of the first stage, for --help, and the preset is still to be given.
    """
    for name, preset in PRESETS.items():
        if f"--preset={name}" in arguments or ("--preset", name) in pairwise(arguments):
            return preset(tyro.MISSING, tyro.MISSING)
    return replace(paper_text_pretrain(tyro.MISSING, tyro.MISSING), preset=tyro.MISSING)
