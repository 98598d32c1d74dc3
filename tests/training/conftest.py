import pytest


@pytest.fixture(autouse=True)
def quick_ray(monkeypatch):
    """Ray Train looks at its workers every two seconds otherwise."""
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
