"""bin/predict and `albert_hvd.load(...).predict`: what they answer, and what they refuse."""

import itertools
import json
import os
import subprocess

import pytest
from conftest import command_environment, command_words, own_lines, run_command
from task_folders import LABELS, write_task_folder

import albert_hvd
from albert_hvd.errors import InputError
from albert_hvd.finetuning.prediction import SPLITS, TaskPredictor, batches_of_lines


@pytest.fixture(scope="module")
def emotion(tmp_path_factory):
    return write_task_folder(tmp_path_factory.mktemp("emotion"), "emotion")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return write_task_folder(tmp_path_factory.mktemp("tagger"), "pos", head="crf")


def call(text, **flags):
    """bin/predict with `text`, str or bytes, on standard input."""
    return run_command("predict", stdin=text, **flags)


def test_a_text_gets_a_label_and_a_share_for_each(emotion):
    texts = ["saya makan di rumah", " kanak-kanak bermain ", "mereka ke sekolah"]
    records = albert_hvd.load(emotion).predict(texts)
    assert [record["text"] for record in records] == texts
    for record in records:
        assert list(record) == ["text", "label", "probabilities"] and list(record["probabilities"]) == LABELS
        assert record["label"] == max(LABELS, key=record["probabilities"].get)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=2e-6)
    assert len({tuple(record["probabilities"].values()) for record in records}) == 3


def assert_same(records, expected):
    """Equal but for the rounding of the shares."""
    for one, other in zip(records, expected, strict=True):
        shares = [record.get("probabilities") or {} for record in (one, other)]
        assert shares[0] == pytest.approx(shares[1], abs=2e-6)
        assert {**one, "probabilities": None} == {**other, "probabilities": None}


def test_an_answer_does_not_depend_on_the_texts_beside_it(emotion, tagger):
    texts = ["saya makan", "kanak-kanak bermain bola di padang", "", "rumah"]
    for model in map(albert_hvd.load, (emotion, tagger)):
        assert_same(model.predict(texts), [model.predict([text])[0] for text in texts])


def test_a_word_gets_a_tag(tagger):
    model = TaskPredictor(os.path.join(tagger, "model"))
    assert model.kind == "tagging" and model.labels == tuple(LABELS)
    record, same = model.predict(["saya  makan, di rumah .", ["saya", "makan,", "di", "rumah", "."]])
    assert record["words"] == ["saya", "makan,", "di", "rumah", "."]
    assert len(record["tags"]) == 5 and set(record["tags"]) <= set(LABELS) and same == record
    record, = model.predict(["kuih\u00a0raya\u3000 10\u202f000 \u00a0 ya"])
    assert record["words"] == ["kuih\u00a0raya", "10\u202f000", "ya"]
    record, = model.predict(["Kanak-kanak makan.Dia 3.50, (ya)!"], split="punctuation")
    assert record["words"] == ["Kanak-kanak", "makan", ".", "Dia", "3.50", ",", "(", "ya", ")", "!"]


@pytest.mark.parametrize("text", ["", " \t", "\u3000"])
def test_an_empty_text_has_no_label(emotion, tagger, text):
    assert albert_hvd.load(emotion).predict([text]) == [{"text": text, "label": None, "probabilities": None}]
    assert albert_hvd.load(tagger).predict([text]) == [{"words": [], "tags": []}]


def test_no_texts_give_no_answers(emotion):
    assert albert_hvd.load(emotion).predict([]) == []


def test_long_texts_are_counted(emotion, tagger, tmp_path):
    text = "saya makan di rumah " * 20
    for folder, num_cut in ((emotion, 0), (tagger, 0), (write_task_folder(tmp_path, "pos", long_texts="truncate"), 80)):
        model = albert_hvd.load(folder)
        record, _ = model.predict([text, "saya"])
        assert model.num_long == 1
        tags = record.get("tags", [])
        assert tags.count(None) == model.num_cut_words and (model.num_cut_words > 0) == (num_cut > 0)
        assert None not in tags[:len(tags) - model.num_cut_words]


@pytest.mark.parametrize("texts, options, message", [
    ([3], {}, r"texts\[0\] is 3; give a str"),
    (["a", ["b"]], {}, r"texts\[1\] is \['b'\]; give a str"),
    (["a"], {"split": "letters"}, "split='letters'"),
])
def test_what_is_no_text_is_refused(emotion, texts, options, message):
    with pytest.raises(InputError, match=message):
        albert_hvd.load(emotion).predict(texts, **options)


@pytest.mark.parametrize("words", [3, ["saya", ""], ["saya", 3]])
def test_what_are_no_words_is_refused(tagger, words):
    with pytest.raises(InputError, match=r"texts\[0\] is .*list of words"):
        albert_hvd.load(tagger).predict([words])


def test_a_fine_tuned_model_takes_no_other_vocabulary(emotion):
    with pytest.raises(InputError, match="tokenizer=other.model: .* has its vocabulary with it"):
        albert_hvd.load(emotion, "other.model")


def test_the_command_answers_line_by_line(emotion, tagger):
    texts = ["\ufeffsaya makan\r", "", "rumah\u2028besar \u00e9", "tanpa akhir"]
    outcome = call("\n".join(texts), model=emotion)
    assert outcome.returncode == 0 and "note:" not in outcome.stderr, outcome.stderr
    records = [json.loads(line) for line in outcome.stdout.removesuffix("\n").split("\n")]
    assert_same(records, albert_hvd.load(emotion).predict(["saya makan", *texts[1:]]))
    outcome = call("saya makan.\n" + "di rumah " * 20 + "\n", model=tagger, split="punctuation")
    assert json.loads(outcome.stdout.split("\n")[0])["words"] == ["saya", "makan", "."]
    assert "note: texts with more than 16 pieces, read in several rows: 1" in outcome.stderr.splitlines()


def test_bad_input_is_one_line(emotion, tmp_path):
    outcome = call(b"saya\nmakan\n\xff\xfe\nrumah\n", model=emotion)
    assert outcome.returncode == 2 and len(outcome.stdout.splitlines()) == 2
    assert own_lines(outcome, "predict") == ["standard input:3: not UTF-8; convert the text first"]
    outcome = call("saya", model=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    line, = own_lines(outcome, "predict")
    assert line.startswith(f"--model={tmp_path}: no task model there") and "Traceback" not in outcome.stderr


def test_a_line_is_answered_before_the_next_is_typed(emotion):
    with subprocess.Popen(command_words("predict", model=emotion), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=command_environment()) as process:
        for text in ("saya", "makan"):
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_reader_that_has_seen_enough_is_no_error(emotion):
    with subprocess.Popen(command_words("predict", model=emotion), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=command_environment()) as process:
        process.stdout.close()
        process.stdin.write(b"saya\n" * 3)
        process.stdin.close()
        assert (process.wait(timeout=300), b"Traceback" in process.stderr.read()) == (0, False)


class Chunks:
    """A stream that gives its chunks one by one, as a pipe does."""

    def __init__(self, chunks):
        self._chunks = iter(chunks)

    def read1(self, size):
        return next(self._chunks, b"")


@pytest.mark.parametrize("chunks, batches", [
    ([], []),
    ([b"\n"], [[""]]),
    ([b"a\nb\n"], [["a", "b"]]),
    ([b"a\n", b"b"], [["a"], ["b"]]),
    ([b"a", b"b", b"c\nd", b"\n"], [["abc"], ["d"]]),
    ([b"\xc3", b"\xa9\n"], [["\u00e9"]]),
    ([b"\n" * 300], [[""] * 256, [""] * 44]),
])
def test_lines_come_in_batches_as_they_arrive(chunks, batches):
    assert list(batches_of_lines(Chunks(chunks))) == batches


def test_the_lines_before_a_bad_one_are_given_first():
    batches = batches_of_lines(Chunks([b"a\nb\n\xff\nc\n"]), "here")
    assert next(batches) == ["a", "b"]
    with pytest.raises(InputError, match="here:3: not UTF-8"):
        next(batches)


@pytest.mark.parametrize("text", ["", "...", "a-b c", "rumah-\nkanak", "«ya»"])
def test_a_split_loses_nothing_but_blanks(text):
    for split in SPLITS.values():
        assert "".join(split(text)) == "".join(itertools.chain.from_iterable(text.split()))
