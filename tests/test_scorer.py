"""The Python API: images in, scores out, without Ray."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

import artimuse
from artimuse.attributes import ATTRIBUTES
from artimuse.configs.engine import EngineConfig
from artimuse.engines.exact import ExactEngine
from artimuse.engines.fake import FakeEngine
from artimuse.errors import BadCheckpoint, EngineFailed, UnreadableImage
from artimuse.scorer import IMAGES_PER_CHUNK, Scorer
from artimuse.scoring import STRATEGIES
from tests.pictures import encoded, picture, png_that_declares


@pytest.fixture(scope="module")
def nano() -> Scorer:
    return artimuse.load("nano", device="cpu")


@pytest.fixture
def fake() -> Scorer:
    """By brightness."""
    return Scorer(FakeEngine(EngineConfig(name="fake")), STRATEGIES["ordered_100"])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo [1].png"
    path.write_bytes(encoded(picture(90, width=200, height=80)))
    return path


def test_a_path_its_bytes_and_the_opened_image_have_the_same_score(nano: Scorer, photo: Path):
    with Image.open(photo) as opened:
        scores = nano.score([str(photo), photo, photo.read_bytes(), opened, picture(90, width=200, height=80)])
    alone = nano.score([photo])[0]
    for score in scores:
        assert 0 <= score.score <= 100
        assert (score.score, score.std) == pytest.approx((alone.score, alone.std), abs=1e-3)


def test_a_score_comes_with_the_distribution_it_is_the_mean_of(nano: Scorer):
    [score] = nano.score([picture(90)])
    assert score.probs_K is not None
    assert score.probs_K.shape == score.values_K.shape == (101,)
    assert score.probs_K.sum() == pytest.approx(1, abs=1e-5)
    assert score.probs_K @ score.values_K == pytest.approx(score.score, abs=1e-3)


def test_scores_come_in_the_order_of_the_images(fake: Scorer):
    levels = [200, 40, 120]
    scores = [score.score for score in fake.score([picture(level) for level in levels])]
    np.testing.assert_allclose(scores, [level / 2.55 for level in levels], atol=2)


def test_images_of_every_mode_and_size_are_taken(fake: Scorer):
    modes = ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "F")
    images = [picture(250, width=30, height=900).convert("L").convert(mode) for mode in modes]
    assert len(fake.score(images)) == len(modes)


def test_a_url_is_a_path(fake: Scorer, memory_url: str):
    fsspec.filesystem("memory").pipe_file(f"{memory_url}/a.png", encoded(picture(90)))
    assert fake.score([f"{memory_url}/a.png"])[0].score == pytest.approx(90 / 2.55, abs=1)


def test_no_images_have_no_scores(nano: Scorer):
    assert nano.score([]) == []


def test_a_single_image_instead_of_a_list_is_a_type_error_with_the_way_out(fake: Scorer, photo: Path):
    for single in (str(photo), photo, photo.read_bytes(), picture(90)):
        with pytest.raises(TypeError, match=r"score\(\[image\]\)\[0\]"):
            fake.score(single)


def test_a_file_that_is_no_picture_is_unreadable_by_name(fake: Scorer, photo: Path, tmp_path: Path):
    (tmp_path / "letter.jpg").write_bytes(b"I am a letter.")
    with pytest.raises(UnreadableImage, match=r"letter\.jpg: .*unsupported_format"):
        fake.score([photo, tmp_path / "letter.jpg"])


def test_a_file_that_is_not_there_is_unreadable_by_name(fake: Scorer, tmp_path: Path):
    for missing in (tmp_path / "gone.jpg", str(tmp_path / "gone.jpg")):
        with pytest.raises(UnreadableImage, match=r"gone\.jpg: no such file \(not_found\)"):
            fake.score([missing])
    with pytest.raises(UnreadableImage, match="a directory, not a file"):
        fake.score([tmp_path])


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "corrupt"), (encoded(picture(90), "JPEG")[:700], "truncated"), (png_that_declares(20_000, 20_000), "many")],
)
def test_bytes_that_are_no_picture_are_unreadable_with_the_reason(fake: Scorer, data: bytes, code: str):
    with pytest.raises(UnreadableImage, match=rf"{len(data)} bytes: .*{code}"):
        fake.score([data])


def test_an_opened_image_that_turns_out_truncated_is_unreadable_by_name(fake: Scorer, tmp_path: Path):
    (tmp_path / "cut.jpg").write_bytes(encoded(picture(90, width=320, height=240), "JPEG")[:3000])
    with Image.open(tmp_path / "cut.jpg") as opened, pytest.raises(UnreadableImage, match=r"cut\.jpg: .*truncated"):
        fake.score([opened])


def test_strategy_and_batch_size_can_be_chosen():
    scorer = artimuse.load("nano", device="cpu", strategy="levels_5", batch_size=2)
    scores = scorer.score([picture(90)] * 3)
    assert [score.values_K.tolist() for score in scores] == [[0, 25, 50, 75, 100]] * 3


class TextsOnly(FakeEngine):
    capabilities = frozenset({"texts"})


def test_an_engine_without_logits_is_refused():
    with pytest.raises(EngineFailed, match="TextsOnly gives no logits; strategy ordered_100 needs them"):
        Scorer(TextsOnly(EngineConfig(name="fake")), STRATEGIES["ordered_100"])


class FewCandidates(FakeEngine):
    max_candidates = 100


def test_a_strategy_with_more_candidates_than_the_engine_takes_is_refused():
    engine = FewCandidates(EngineConfig(name="fake"))
    with pytest.raises(EngineFailed, match="ordered_100 has 101 candidates, FewCandidates takes at most 100"):
        Scorer(engine, STRATEGIES["ordered_100"])
    Scorer(engine, STRATEGIES["existing_50"])


class OtherVocabulary(FakeEngine):
    """Its tokenizer knows the letters a to y and nothing else."""

    class Letters:
        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            return [ord(letter) for letter in text]

        def convert_tokens_to_ids(self, tokens: list[str]) -> list[int | None]:
            return [ord(token) if len(token) == 1 and "a" <= token <= "y" else None for token in tokens]

    tokenizer = Letters()


@pytest.mark.parametrize(("strategy", "missing"), [("ordered_100", "aa"), ("existing_25", "z"), ("levels_5", "Ġbad")])
def test_a_vocabulary_without_the_strategys_tokens_is_refused(strategy: str, missing: str):
    with pytest.raises(BadCheckpoint, match=f"strategy {strategy}: the tokenizer has no token '{missing}'"):
        Scorer(OtherVocabulary(EngineConfig(name="fake")), STRATEGIES[strategy])


def test_a_model_that_is_not_there_is_a_bad_checkpoint():
    with pytest.raises(BadCheckpoint, match="no-such-model"):
        artimuse.load("./no-such-model")


def test_images_are_described_by_attribute(nano: Scorer, photo: Path):
    alone, both = nano.describe([photo], max_new_tokens=8), nano.describe([picture(10), photo], max_new_tokens=8)
    assert list(alone[0]) == [attribute.slug for attribute in ATTRIBUTES]
    assert alone[0] == both[1] != both[0]
    assert all(len(text.token_ids) == 8 for text in alone[0].values() if text.truncated)
    asked = nano.describe([photo], attributes="overall_gestalt,composition_and_design", max_new_tokens=8)
    assert asked == [{slug: alone[0][slug] for slug in ("composition_and_design", "overall_gestalt")}]


def test_nothing_is_described_without_images_or_attributes(fake: Scorer):
    assert fake.describe([]) == []
    assert fake.describe([picture(90)], attributes="none") == [{}]


def test_an_unknown_attribute_is_named(fake: Scorer):
    with pytest.raises(ValueError, match="'beauty' is no attribute; expected all, none, or some of composition_and"):
        fake.describe([picture(90)], attributes="overall_gestalt,beauty")


def test_a_single_image_is_no_list_to_describe(fake: Scorer, photo: Path):
    with pytest.raises(TypeError, match=r"describe\(\[image\]\)\[0\]"):
        fake.describe(photo)


def test_arrays_are_images(fake: Scorer):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    expected = [score.score for score in fake.score([Image.fromarray(image) for image in pixels])]
    assert [score.score for score in fake.score(list(pixels))] == expected
    assert [score.score for score in fake.score(pixels)] == expected
    [grey] = fake.score([pixels[0, :, :, 0]])
    assert grey.score == fake.score([Image.fromarray(pixels[0, :, :, 0])])[0].score
    with pytest.raises(TypeError, match=r"for a single one: score\(\[image\]\)\[0\]"):
        fake.score(pixels[0])


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)]
)
def test_an_array_that_is_no_picture_is_unreadable(fake: Scorer, pixels: np.ndarray):
    with pytest.raises(UnreadableImage, match="expected uint8 of"):
        fake.score([pixels])


def test_images_may_come_one_after_the_other_and_are_held_a_few_at_a_time(fake: Scorer):
    num_alive, most_alive = 0, 0

    class Watched(FakeEngine):
        def open(self, pixels_BHWC):
            nonlocal num_alive
            num_alive -= len(pixels_BHWC)
            return super().open(pixels_BHWC)

    def pictures():
        nonlocal num_alive, most_alive
        for number in range(200):
            num_alive += 1
            most_alive = max(most_alive, num_alive)
            yield Image.new("L", (8, 8), number)

    scorer = Scorer(Watched(EngineConfig(name="fake")), STRATEGIES["ordered_100"])
    scores = [score.score for score in scorer.score(pictures())]
    assert scores == [score.score for score in fake.score([Image.new("L", (8, 8), number) for number in range(200)])]
    assert most_alive <= IMAGES_PER_CHUNK


def test_attributes_may_be_a_list(fake: Scorer, photo: Path):
    assert fake.describe([photo], attributes=["overall_gestalt"]) == fake.describe(
        [photo], attributes="overall_gestalt"
    )


def test_an_empty_list_of_attributes_asks_for_none(fake: Scorer, photo: Path):
    assert fake.describe([photo], attributes=[]) == fake.describe([photo], attributes="none") == [{}]


def test_a_score_is_short_to_look_at(fake: Scorer, photo: Path):
    [score] = fake.score([photo])
    assert repr(score) == f"Score(score={score.score!r}, std={score.std!r}, entropy={score.entropy!r})"


def test_another_engine_may_be_chosen():
    assert isinstance(artimuse.load("nano", engine="exact", device="cpu").engine, ExactEngine)
