import artimuse


def test_public_names_are_these_and_all_resolve():
    assert artimuse.__all__ == [
        "ArtiMuseError",
        "BadCheckpoint",
        "Score",
        "ScoreConfig",
        "Scorer",
        "UnreadableImage",
        "load",
    ]
    assert set(artimuse.__all__) <= set(dir(artimuse))
    assert all(getattr(artimuse, name) is not None for name in artimuse.__all__)


def test_unknown_names_are_attribute_errors():
    assert not hasattr(artimuse, "score_everything")
