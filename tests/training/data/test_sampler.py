import numpy as np
import pytest

from artimuse.training.data.sampler import Sampler, micro_batches

LENGTHS = np.arange(21) % 5
SAMPLER = Sampler(LENGTHS, batch_size=8, num_epochs=2, seed=3)


def test_every_epoch_goes_through_all_examples_once_in_an_order_of_its_own():
    epochs = [np.concatenate([SAMPLER.examples(step) for step in range(first, first + 3)]) for first in (0, 3)]
    assert SAMPLER.num_steps == 6
    assert all(sorted(epoch) == list(range(21)) for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_last_step_of_an_epoch_may_be_smaller():
    assert [len(SAMPLER.examples(step)) for step in range(6)] == [8, 8, 5, 8, 8, 5]


def test_a_step_is_made_of_the_same_examples_whatever_was_asked_before():
    again = Sampler(LENGTHS, batch_size=8, num_epochs=2, seed=3)
    assert again.examples(4).tolist() == SAMPLER.examples(4).tolist()
    assert Sampler(LENGTHS, 8, 2, seed=4).examples(4).tolist() != SAMPLER.examples(4).tolist()


def test_groups_stay_together_in_an_order_of_their_own():
    starts = np.array([0, 3, 4, 9])
    sampler = Sampler(np.ones(11, int), 1, 3, seed=1, starts_G=starts)
    groups = [[0, 1, 2], [3], [4, 5, 6, 7, 8], [9, 10]]
    epochs = [[int(sampler.examples(step)[0]) for step in range(first, first + 11)] for first in (0, 11, 22)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(11))
        assert all(epoch[epoch.index(group[0]) :][: len(group)] == group for group in groups)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_longest_come_first_within_a_step_and_steps_are_the_same_sets_as_without_lengths():
    plain = Sampler(np.ones(21, int), batch_size=8, num_epochs=2, seed=3)
    for step in range(6):
        examples = SAMPLER.examples(step)
        assert LENGTHS[examples].tolist() == sorted(LENGTHS[examples].tolist(), reverse=True)
        assert sorted(examples) == sorted(plain.examples(step))


def test_groups_that_are_longest_together_come_first():
    sampler = Sampler(np.array([1, 1, 9, 4, 4, 4]), 6, 1, seed=0, starts_G=np.array([0, 2, 3]))
    assert sampler.examples(0).tolist() == [3, 4, 5, 2, 0, 1]


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_workers_share_a_step_in_the_same_pieces_however_many_they_are(world_size, count):
    examples = np.arange(100, 100 + count)
    shares = [micro_batches(examples, 2, rank=rank, world_size=world_size) for rank in range(world_size)]
    pieces = {tuple(piece) for share in shares for piece in share if len(piece)}
    assert pieces == {tuple(piece) for piece in micro_batches(examples, 2, rank=0, world_size=1)}
    assert len({len(share) for share in shares}) == 1
    assert sum(len(piece) for share in shares for piece in share) == count
