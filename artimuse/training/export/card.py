"""The model card of an export: what it was made from, how, and how good it was; with a plot of its training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artimuse.configs.train import TrainConfig
from artimuse.training.checkpoint import TrainState
from artimuse.training.export.comparison import ExportComparison
from artimuse.training.record import TrainRecord

CARD, PLOT = "README.md", "training.png"
_SYSTEM_MESSAGES = {"internvl": "InternVL's own (Chinese)", "base": "that of the base"}
_MERGED = "Weights of the base with what was trained; adapters are merged in float32."
_ADAPTERS = (
    "What was trained, in float32, for `peft.PeftModel.from_pretrained(network, DIRECTORY)`. The network is the base in"
    " transformers' own layout (`InternVLForConditionalGeneration`). Adapters are not merged; vision encoder and"
    " projector, as far as they were trained, take the place of the base's (peft's `modules_to_save`). The prompt is to"
    " begin with the system message above."
)
_TRAINED = {"vision": "vision encoder", "projector": "projector", "language": "language model"}
_SMOOTHED_OVER = 50
"""Points of the loss curve at most: a mean over steps each."""


def write_card(
    directory: Path,
    config: TrainConfig,
    record: TrainRecord,
    state: TrainState,
    comparison: ExportComparison,
    *,
    has_adapters: bool,
) -> None:
    """Writes README.md and training.png. `has_adapters`: they are there unmerged, for peft."""
    draw_plot(directory / PLOT, state)
    (directory / CARD).write_text(card(config, record, state, comparison, has_adapters), encoding="utf-8")


def card(
    config: TrainConfig, record: TrainRecord, state: TrainState, comparison: ExportComparison, has_adapters: bool
) -> str:
    validation = next((entry for entry in reversed(state.validations) if entry["step"] == state.step), None)
    sections = [
        ("# ArtiMuse, trained with artimuse", [_summary(config, state)]),
        ("## Data", _data(config, record, state)),
        ("## Training", _settings(config)),
        ("## How good it was", [_result(state, validation), f"![loss and validation]({PLOT})"]),
        (
            "## What it is",
            [
                f"{_ADAPTERS if has_adapters else _MERGED} Read again, it answered fixed"
                f" images as the trained network did: {comparison}. The terms of the base and of the data apply.",
                "Versions: " + ", ".join(f"{name} {value}" for name, value in record.versions.items()) + ".",
            ],
        ),
    ]
    return "\n\n".join(part for title, parts in sections for part in (title, *parts)) + "\n"


def draw_plot(path: Path, state: TrainState) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    steps, losses = _smoothed(state.history)
    axes.plot(steps, losses, color="tab:blue", label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per answer token")
    if state.validations:
        axes.plot(*_column(state.validations, "loss"), "o--", color="tab:cyan", label="validation loss")
    scored = [entry for entry in state.validations if entry["srcc"] is not None]
    handles = axes.get_lines()
    if scored:
        right = axes.twinx()
        handles = [*handles, *right.plot(*_column(scored, "srcc"), "s-", color="tab:orange", label="validation SRCC")]
        right.set_ylabel("SRCC")
    axes.legend(handles=handles)
    figure.savefig(path, dpi=120)


def _summary(config: TrainConfig, state: TrainState) -> str:
    return f"`{config.base}` after {state.step} steps of `{config.preset}` (targets: {config.targets})."


def _data(config: TrainConfig, record: TrainRecord, state: TrainState) -> list[str]:
    weights = {dataset: f", weight {weight:g}" for dataset, weight in config.dataset_weights.items()}
    lines = [
        f"- {dataset}: {count:,} images{weights.get(dataset, '')}"
        for dataset, count in sorted(record.num_images_by_dataset.items())
    ]
    text = (
        f"{record.num_examples:,} examples of {record.num_images:,} images, split `{config.split}`,"
        f" kinds {', '.join(config.kinds)}:"
    )
    left_out = f"{len(state.bad_images)} images could not be decoded and were left out."
    return [text, "\n".join(lines), *([left_out] if state.bad_images else [])]


def _settings(config: TrainConfig) -> list[str]:
    rows = {
        "trained": "; ".join(_TRAINED[part] for part in config.train),
        **({"adapters": _adapters(config)} if config.has_adapters else {}),
        "score strategy": config.strategy,
        "system message": _SYSTEM_MESSAGES.get(config.system_message, config.system_message or "(empty)"),
        "learning rate": f"{config.learning_rate:g}, cosine, warm-up {config.warmup_ratio:g}",
        "learning rate of the vision encoder": f"{config.vision_rate:g}",
        "learning rate of the projector": f"{config.projector_rate:g}",
        "weight decay": f"{config.weight_decay:g}",
        "batch": config.batch_size,
        "epochs": config.epochs,
        "precision": config.dtype,
        "seed": config.seed,
    }
    return ["\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])]


def _adapters(config: TrainConfig) -> str:
    size = f"LoRA of rank {config.lora_rank} (alpha {config.lora_alpha}, dropout {config.lora_dropout})"
    return f"{size} on all linear layers of the language model, which learns through them alone"


def _result(state: TrainState, validation: Mapping[str, Any] | None) -> str:
    if validation is None:
        return "It was not validated."
    found = [f"loss {validation['loss']:.4f} per answer token"]
    if validation["srcc"] is not None:
        found.append(f"SRCC {validation['srcc']:.3f} and PLCC {validation['plcc']:.3f} with the labels")
    return f"On {validation['num_examples']} validation examples at step {state.step}: {', '.join(found)}."


def _smoothed(history: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    pieces = np.array_split(np.arange(len(history)), min(len(history), _SMOOTHED_OVER))
    steps = [float(np.mean([history[i]["step"] for i in piece])) for piece in pieces]
    return steps, [float(np.mean([history[i]["loss"] for i in piece])) for piece in pieces]


def _column(entries: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]
