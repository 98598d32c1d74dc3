from artimuse.training.data.packing import IGNORED, PADDING_ID, pack, stack


def test_one_question_is_its_prompt_and_its_answer():
    packed = pack([[1, 2, 3]], [[8, 9]])
    assert packed.token_ids == [1, 2, 3, 8, 9]
    assert packed.labels == [IGNORED, IGNORED, IGNORED, 8, 9]
    assert packed.positions == [0, 1, 2, 3, 4]


def test_what_prompts_begin_with_is_there_once_and_positions_go_on_from_it():
    packed = pack([[1, 2, 3], [1, 2, 4, 5]], [[8, 9], [7]])
    assert packed.token_ids == [1, 2, 3, 8, 9, 4, 5, 7]
    assert packed.labels == [IGNORED] * 3 + [8, 9] + [IGNORED] * 2 + [7]
    assert packed.positions == [0, 1, 2, 3, 4, 2, 3, 4]
    assert packed.parts == [0, 0, 1, 1, 1, 2, 2, 2]


def test_the_same_question_twice_keeps_a_token_to_predict_each_answer_from():
    packed = pack([[1, 2], [1, 2]], [[8], [9]])
    assert packed.token_ids == [1, 2, 8, 2, 9]
    assert packed.labels == [IGNORED, IGNORED, 8, IGNORED, 9]


def test_a_token_sees_what_is_shared_and_its_own_question():
    batch = stack([pack([[1, 2], [1, 3]], [[8], [9]]), pack([[1, 2]], [[8]])])
    assert batch.token_ids_RS.tolist() == [[1, 2, 8, 3, 9], [1, 2, 8, PADDING_ID, PADDING_ID]]
    shared, alone = batch.mask[:, 0].int().tolist()
    assert shared == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 1, 1]]
    assert alone[:3] == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert batch.mask.any(dim=-1).all()


def test_sequences_of_one_question_each_need_neither_positions_nor_a_mask():
    batch = stack([pack([[1, 2]], [[8]]), pack([[1]], [[8]])])
    assert batch.token_ids_RS.tolist() == [[1, 2, 8], [1, 8, PADDING_ID]]
    assert batch.labels_RS.tolist() == [[IGNORED, IGNORED, 8], [IGNORED, 8, IGNORED]]
    assert (batch.positions_RS, batch.mask) == (None, None)
