"""Scenes that many tests look at: enough for their frequencies and correlations to be stable."""

import pytest

from artimuse.scenes.parameters import Scene, choose_scene


@pytest.fixture(scope="package")
def scenes() -> list[Scene]:
    return [choose_scene(number) for number in range(3000)]
