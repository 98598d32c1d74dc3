"""The learning rate as a function of the step."""

import math


def learning_rate(step: int, num_steps: int, *, highest: float, warmup_ratio: float) -> float:
    """The learning rate of the step with this number, from 0: a linear warm-up, then a cosine down to 0.

    Source: paper table 11; the curve is that of transformers' `get_cosine_schedule_with_warmup`, and the number of
    warm-up steps is rounded up as its Trainer does. Unlike there, a run of one step has no warm-up, in which its rate
    would be 0.
    """
    num_warmup = min(math.ceil(warmup_ratio * num_steps), num_steps - 1)
    if step < num_warmup:
        return highest * step / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return highest * 0.5 * (1 + math.cos(math.pi * progress))
