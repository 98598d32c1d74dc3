import numpy as np

from artimuse.configs.engine import EngineConfig
from artimuse.engines.fake import FakeEngine
from artimuse.scorer import Scorer
from artimuse.scoring import STRATEGIES


def flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((448, 448, 3), level, np.uint8) for level in levels])


def test_brighter_pictures_score_higher():
    scores = Scorer(FakeEngine(EngineConfig(name="fake")), STRATEGIES["ordered_100"]).score_pixels(flat(64, 128, 192))
    np.testing.assert_allclose(scores.mean_B, [25.1, 50.2, 75.2], atol=0.5)


def test_texts_stop_at_the_token_limit_and_say_so():
    with FakeEngine(EngineConfig(name="fake")).open(flat(0, 255)) as images:
        [[short, whole]] = images.generate(
            ["one two three four", "five"], rows=np.array([False, True]), max_new_tokens=3
        )
    assert (short.text, short.truncated) == ("one two three", True)
    assert (whole.text, whole.truncated) == ("five Brightness 1.000.", False)
