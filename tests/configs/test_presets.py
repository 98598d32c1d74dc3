from typing import get_args

import pytest

from artimuse.cli import main
from artimuse.configs.options import parse
from artimuse.configs.presets import PRESETS, asked_for, paper_score_finetune, paper_text_pretrain
from artimuse.configs.train import PresetName, TrainConfig


def test_the_stages_are_those_of_the_paper():
    """Table 11 and section 5.1 of the paper."""
    first, second = paper_text_pretrain("a", "b"), paper_score_finetune("a", "b")
    assert (first.lora_rank, first.learning_rate, first.weight_decay, first.epochs) == (16, 4e-5, 0.05, 1)
    assert (second.lora_rank, second.learning_rate, second.weight_decay, second.epochs) == (128, 2e-5, 0.0, 2)
    assert (first.targets, second.targets) == ("texts", "scores")
    assert (first.kinds, second.kinds) == (("score", "partial_text", "expert"), ("score", "expert"))
    for stage in (first, second):
        assert (stage.batch_size, stage.warmup_ratio, stage.max_sequence_length) == (128, 0.03, 8192)
        assert stage.lora_alpha == 2 * stage.lora_rank
        assert (stage.lora_dropout, stage.max_grad_norm, stage.gradient_checkpointing) == (0.05, 1.0, True)
        assert stage.vision_rate == stage.projector_rate == stage.learning_rate
        assert stage.questions_together == 1
        assert (stage.base, stage.strategy, stage.zero) == ("OpenGVLab/InternVL3-8B", "ordered_100", 2)


def test_presets_are_listed_by_the_names_that_they_carry():
    assert tuple(PRESETS) == get_args(PresetName)
    assert all(preset("a", "b").preset == name for name, preset in PRESETS.items())


def test_a_preset_may_be_overridden():
    assert paper_text_pretrain("a", "b", epochs=3).epochs == 3


@pytest.mark.parametrize("arguments", [["--preset", "paper_text_pretrain"], ["a", "--preset=paper_text_pretrain"]])
def test_the_command_line_takes_its_defaults_from_the_preset(arguments):
    assert asked_for(arguments).lora_rank == 16


def test_parts_to_train_are_separated_by_commas_in_any_order():
    arguments = ["a", "b", "--preset", "paper_text_pretrain", "--train", "language, vision"]
    config = parse(TrainConfig, arguments, prog="artimuse train", default=asked_for(arguments))
    assert config.train == ("vision", "language")
    assert paper_text_pretrain("a", "b").train == ("vision", "projector", "language")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a", "b"], "--preset"),
        (["a", "b", "--preset", "paper"], "paper_text_pretrain"),
        (["a", "--preset", "paper_text_pretrain"], "OUTPUT"),
        (["a", "b", "--preset", "paper_text_pretrain", "--dtype", "float16"], "bfloat16"),
        (["a", "b", "--preset", "paper_text_pretrain", "--zero", "1"], "--zero"),
        (["a", "b", "--preset", "paper_text_pretrain", "--offload", "cpu"], "--offload"),
        (["a", "b", "--preset", "paper_text_pretrain", "--batch-size", "0"], "--batch-size 0"),
        (["a", "b", "--preset", "paper_text_pretrain", "--train", "vision,head"], "--train vision,head: expected one"),
        (["a", "b", "--preset", "paper_text_pretrain", "--train", ""], "--train : expected one or more of"),
        (["a", "b", "--preset", "paper_text_pretrain", "--weights", "AVA"], "--weights AVA: expected DATASET=WEIGHT"),
        (["a", "b", "--preset", "paper_text_pretrain", "--weights", "AVA=0"], "--weights AVA=0: expected"),
        (["a", "b", "--preset", "paper_text_pretrain", "--weights", "AVA=nan"], "--weights AVA=nan: expected"),
        (["a", "b", "--preset", "paper_text_pretrain", "--weights", "AVA=1", "AVA=2"], "AVA has a weight already"),
        (["a", "b", "--preset", "paper_text_pretrain", "--more-annotations", "a"], "--more-annotations a: given twice"),
        (["a", "b", "--preset", "paper_text_pretrain", "--eval-steps", "0"], "--eval-steps 0"),
        (["a", "b", "--preset", "paper_text_pretrain", "--learning-rate", "0"], "--learning-rate 0"),
        (["a", "b", "--preset", "paper_text_pretrain", "--vision-learning-rate", "0"], "--vision-learning-rate 0"),
        (
            ["a", "b", "--preset", "paper_text_pretrain", "--projector-learning-rate", "0"],
            "--projector-learning-rate 0",
        ),
        (["a", "b", "--preset", "paper_text_pretrain", "--questions-together", "0"], "--questions-together 0"),
        (["a", "b", "--preset", "paper_text_pretrain", "--warmup-ratio", "1"], "--warmup-ratio 1"),
        (["a", "b", "--preset", "paper_text_pretrain", "--workers", "2:1"], "--workers 2:1"),
    ],
)
def test_bad_arguments_are_refused_naming_the_option(capsys, arguments, complaint):
    assert main(["train", *arguments]) == 2
    assert complaint in capsys.readouterr().err
