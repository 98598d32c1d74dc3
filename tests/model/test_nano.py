import runpy
from pathlib import Path

import numpy as np
import pytest
from checkpoints import NANO

from artimuse.engine_config import EngineConfig
from artimuse.engines.transformers import TransformersEngine
from artimuse.model.digest import weights_digest
from artimuse.scoring import STRATEGIES

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_nano.py"


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(EngineConfig(model="nano", device="cpu"))


def test_script_makes_the_shipped_files_byte_for_byte(tmp_path):
    runpy.run_path(str(SCRIPT))["main"](tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in NANO.iterdir()}
    for path in NANO.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert weights_digest(tmp_path) == weights_digest(NANO)


def test_model_is_small_and_says_what_it_is():
    assert sum(path.stat().st_size for path in NANO.iterdir()) < 1.5 * 2**20
    assert "random weights" in (NANO / "README.md").read_text()


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES.values() if not s.new_tokens], ids=lambda s: s.name)
def test_every_strategy_finds_its_answers_in_the_vocabulary(engine, strategy):
    strategy.check(engine.tokenizer)
    for candidate in strategy.candidates:
        if candidate.startswith("Ġ"):
            assert len(engine.tokenizer.encode(candidate.replace("Ġ", " "), add_special_tokens=False)) == 1


def test_vocabulary_ends_with_the_31_added_tokens_in_the_published_order(engine):
    tokenizer = engine.network.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer) - 31, len(tokenizer)))
    assert tokens[0] == "<|endoftext|>"
    assert tokens[21:25] == ["<|file_sep|>", "<img>", "</img>", "<IMG_CONTEXT>"]
    assert tokens[30] == "</box>"


@pytest.mark.parametrize("name", [s.name for s in STRATEGIES.values() if s.needs == "logits" and not s.new_tokens])
def test_scores_of_different_pictures_differ_visibly(engine, name):
    colors = np.random.default_rng(0).integers(0, 256, (12, 1, 1, 3))
    ramp = np.linspace(0.2, 1, 448)[None, None, :, None]
    with engine.open((colors * np.broadcast_to(ramp, (12, 448, 448, 1))).astype(np.uint8)) as images:
        scores_B = STRATEGIES[name].ask(images).mean_B
    assert scores_B.std() > 3
