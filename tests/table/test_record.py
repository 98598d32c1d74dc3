"""run.json: written whole, read back, and refused when it is not ours."""

import json

import pytest

from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder
from artimuse.table.record import RUN_FILE, read_run, refuse_mismatch, write_run

RECORD = {
    "fingerprints": {"score": {"weights": None}},
    "plan": {"num_rows": 3},
    "note": "Ä 🦊",
    "config": {"limit": None},
}


def test_a_record_comes_back_as_it_was_written(output: Folder):
    write_run(output, RECORD)
    assert read_run(output) == RECORD


def test_writing_again_replaces_the_record(output: Folder):
    write_run(output, RECORD)
    write_run(output, {**RECORD, "status": "finished"})
    assert read_run(output) == {**RECORD, "status": "finished"}
    assert output.names() == [RUN_FILE]


def test_a_person_can_read_it(output: Folder):
    write_run(output, RECORD)
    text = output.read(RUN_FILE).decode()
    assert "🦊" in text
    assert text.count("\n") > len(RECORD)
    assert json.loads(text) == RECORD


def test_without_a_file_there_is_no_run(output: Folder):
    assert read_run(output) is None


@pytest.mark.parametrize("content", [b"", b'{"fingerprints": ', b"not json", b"\xff\xfe{}", b"PAR1"])
def test_what_is_not_json_is_refused_by_name(output: Folder, content: bytes):
    output.write(RUN_FILE, content)
    with pytest.raises(BadOutput, match=r"run\.json is not valid JSON"):
        read_run(output)


@pytest.mark.parametrize("record", [None, [], 3, {}, {"run": "wandb"}, {"fingerprints": {}}, {"plan": {}}])
def test_json_of_another_program_is_refused_by_name(output: Folder, record: object):
    output.write(RUN_FILE, json.dumps(record).encode())
    with pytest.raises(BadOutput, match=r"run\.json was not written by artimuse"):
        read_run(output)


def test_a_run_that_asks_for_less_than_was_saved_may_go_on(output: Folder):
    refuse_mismatch(output, {"score": {"weights": "a"}, "texts": {"prompt": "b"}}, {"score": {"weights": "a"}})


def test_a_mismatch_says_what_was_what_is_and_what_to_do(output: Folder):
    with pytest.raises(RunMismatch) as caught:
        refuse_mismatch(output, {"score": {"weights": "a"}}, {"score": {"weights": None}})
    message = str(caught.value)
    assert message.startswith(output.url())
    assert "score weights: OUTPUT has 'a', this run has None" in message
    assert "choose a new OUTPUT" in message
