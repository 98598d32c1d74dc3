"""The built-in model: what is shipped is what its scripts make, and what its card says."""

import json
import runpy
from pathlib import Path

import pytest

from artimuse.configs.engine import EngineConfig
from artimuse.engines.transformers import TransformersEngine
from artimuse.scenes.draw import save_picture
from artimuse.scenes.evaluation import evaluate
from artimuse.scenes.table import choose_scenes
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES
from tests.model.checkpoints import NANO

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "benchmarks" / "results" / "nano.json").read_text())


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(EngineConfig(model="nano", device="cpu"))


def test_the_shipped_tokenizer_and_architecture_are_those_of_the_script(tmp_path):
    script = runpy.run_path(str(ROOT / "scripts" / "random_nano.py"))
    script["write_tokenizer"](tmp_path)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_text() == (NANO / name).read_text()
    shipped = json.loads((NANO / "config.json").read_text())
    made = script["config"](shipped["text_config"]["vocab_size"])
    assert made["image_token_id"] == shipped["image_token_id"]
    for part in ("text_config", "vision_config"):
        assert {name: shipped[part][name] for name in made[part]} == made[part]


def test_the_model_is_small_and_says_what_it_is_not():
    assert sum(path.stat().st_size for path in NANO.iterdir()) < 5 * 2**20
    assert "not a judge of photographs" in (NANO / "README.md").read_text()


def test_the_card_quotes_the_record():
    card = (NANO / "README.md").read_text()
    script = runpy.run_path(str(ROOT / "scripts" / "nano_eval.py"))
    linear = script["Baseline"](srcc=RECORD["linear"]["srcc"], plcc=RECORD["linear"]["plcc"], num_train=0, num_test=0)
    found = {name: result for name, result in RECORD.items() if name != "linear"}
    assert script["report"](linear, found) in card


def test_the_record_is_as_good_as_the_demonstration_must_be():
    shipped, linear = RECORD["after stage 2"], RECORD["linear"]["srcc"]
    assert shipped["num_scenes"] == shipped["num_scored"] == 1000
    assert shipped["srcc"] >= max(0.85, linear + 0.1)
    assert shipped["share_right"] >= 0.8 > 0.5 > shipped["share_majority"]


def test_the_first_scores_and_sentences_of_the_record_are_found_again(engine, tmp_path):
    recorded = RECORD["after stage 2"]["first"]
    scenes = list(choose_scenes("test", recorded["num"]))
    paths = [tmp_path / f"{scene.number}.jpg" for scene in scenes]
    for scene, path in zip(scenes, paths):
        save_picture(scene, path)
    scorer = Scorer(engine, STRATEGIES["ordered_100"])
    scores = [score.score for score in scorer.score(paths)]
    assert scores == pytest.approx(recorded["scores"], abs=0.1)
    texts = scorer.describe(paths, max_new_tokens=48)
    rows = [
        {"score": score, "texts_truncated": 0, **{slug: text.text for slug, text in told.items()}}
        for score, told in zip(scores, texts)
    ]
    found = evaluate(scenes, rows)
    assert found.srcc == pytest.approx(recorded["srcc"], abs=0.01)
    assert found.share_right == pytest.approx(recorded["share_right"], abs=0.02)


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
