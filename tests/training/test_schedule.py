import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from artimuse.training.schedule import learning_rate


@pytest.mark.parametrize(("num_steps", "warmup_ratio", "num_warmup"), [(100, 0.03, 3), (7, 0.03, 1), (10, 0.0, 0)])
def test_the_curve_is_that_of_transformers(num_steps, warmup_ratio, num_warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=4e-5)
    schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup, num_steps)
    for step in range(num_steps):
        found = learning_rate(step, num_steps, highest=4e-5, warmup_ratio=warmup_ratio)
        assert found == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-15)
        optimizer.step()
        schedule.step()


def test_a_run_of_one_step_learns():
    assert learning_rate(0, 1, highest=4e-5, warmup_ratio=0.03) == 4e-5
