"""run.json: written whole, read back, and refused when it is not ours."""

import json
from dataclasses import replace

import pytest

from artimuse.errors import BadOutput, RunMismatch
from artimuse.io.folder import Folder
from artimuse.table.record import RUN_FILE, refuse_other_settings
from tests.table.score_rows import record

RECORD = record(num_rows=3, note="Ä 🦊", config={"limit": None}, fingerprints={"score": {"weights": None}})


def test_a_record_comes_back_as_it_was_written(output: Folder):
    RUN_FILE.write(output, RECORD)
    assert RUN_FILE.read(output) == RECORD


def test_writing_again_replaces_the_record(output: Folder):
    RUN_FILE.write(output, RECORD)
    RUN_FILE.write(output, replace(RECORD, status="finished"))
    assert RUN_FILE.read(output) == replace(RECORD, status="finished")
    assert output.names() == [RUN_FILE.name] == ["run.json"]


def test_a_person_can_read_it(output: Folder):
    RUN_FILE.write(output, RECORD)
    text = output.read(RUN_FILE.name).decode()
    assert "🦊" in text
    assert text.count("\n") > len(RECORD.as_dict())
    assert json.loads(text) == RECORD.as_dict()


def test_what_is_not_known_yet_is_left_out_and_an_empty_note_is_null(output: Folder):
    RUN_FILE.write(output, replace(RECORD, note=None))
    values = json.loads(output.read(RUN_FILE.name))
    assert values["note"] is None
    assert not {"parity", "finished_at", "report"} & values.keys()


def test_fields_of_a_later_version_are_passed_over(output: Folder):
    output.write(RUN_FILE.name, json.dumps({**RECORD.as_dict(), "hardware": "H100"}).encode())
    assert RUN_FILE.read(output) == RECORD


def test_without_a_file_there_is_no_run(output: Folder):
    assert RUN_FILE.read(output) is None


@pytest.mark.parametrize("content", [b"", b'{"fingerprints": ', b"not json", b"\xff\xfe{}", b"PAR1"])
def test_what_is_not_json_is_refused_by_name(output: Folder, content: bytes):
    output.write(RUN_FILE.name, content)
    with pytest.raises(BadOutput, match=r"run\.json is not valid JSON"):
        RUN_FILE.read(output)


@pytest.mark.parametrize("values", [None, [], 3, {}, {"run": "wandb"}, {"fingerprints": {}}, {"plan": {}}])
def test_json_of_another_program_is_refused_by_name(output: Folder, values: object):
    output.write(RUN_FILE.name, json.dumps(values).encode())
    with pytest.raises(BadOutput, match=r"run\.json was not written by artimuse"):
        RUN_FILE.read(output)


def test_a_run_that_asks_for_less_than_was_saved_may_go_on(output: Folder):
    saved = replace(RECORD, fingerprints={"score": {"weights": "a"}, "texts": {"prompt": "b"}})
    refuse_other_settings(output, saved, replace(RECORD, fingerprints={"score": {"weights": "a"}}))


def test_a_mismatch_says_what_was_what_is_and_what_to_do(output: Folder):
    saved = replace(RECORD, fingerprints={"score": {"weights": "a"}})
    with pytest.raises(RunMismatch) as caught:
        refuse_other_settings(output, saved, replace(RECORD, fingerprints={"score": {"weights": None}}))
    message = str(caught.value)
    assert message.startswith(output.url())
    assert "score weights: OUTPUT has 'a', this run has none" in message
    assert "choose a new OUTPUT" in message


def test_digests_are_not_shown_to_people(output: Folder):
    saved = replace(RECORD, fingerprints={"score": {"weights": "a" * 64, "question": None}})
    asked = replace(RECORD, fingerprints={"score": {"weights": "b" * 64, "question": "c" * 64}})
    with pytest.raises(RunMismatch) as caught:
        refuse_other_settings(output, saved, asked)
    message = str(caught.value)
    assert "score weights: another one than OUTPUT has" in message
    assert "score question: OUTPUT has none, this run has one" in message
