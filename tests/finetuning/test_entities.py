"""Entities: spans of every scheme of tags, also of sequences that break its rules, and their scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.errors import InputError
from albert_hvd.finetuning import baselines
from albert_hvd.finetuning.entities import entity_counts, entity_types, metrics_of_entities, spans_of
from albert_hvd.finetuning.labelled_data import Example
from albert_hvd.finetuning.tasks import span_records, task_class


@pytest.mark.parametrize("labels, types", [
    (["O", "B-LOC", "I-LOC", "B-PER"], ["LOC", "PER"]), (["O", "I-LOC"], ["LOC"]), (["S-A-b", "E-A-b", "O"], ["A-b"]),
    (["U-X", "L-X", "B-X", "I-X", "O"], ["X"]), (["B-X", "I-X"], ["X"]), (["NOUN", "VERB"], ()), (["O", "LOC"], ()),
    (["O", "B-LOC", "NOUN"], ()), (["B", "I", "O"], ()), (["O", "B-"], ()), (["O", "X"], ())])
def test_whether_labels_mark_entities(labels, types):
    assert entity_types(labels) == types


# What seqeval 1.2.2 gives (`seqeval.metrics.sequence_labeling.get_entities`), its last word made the one behind it.
@pytest.mark.parametrize("tags, spans", [
    ("B-A I-A O B-A", [("A", 0, 2), ("A", 3, 4)]), ("B-A B-A I-A", [("A", 0, 1), ("A", 1, 3)]),
    ("I-A I-A O I-A", [("A", 0, 2), ("A", 3, 4)]), ("I-A I-B I-B", [("A", 0, 1), ("B", 1, 3)]),
    ("O I-A I-A", [("A", 1, 3)]), ("B-A I-B", [("A", 0, 1), ("B", 1, 2)]), ("S-A S-A", [("A", 0, 1), ("A", 1, 2)]),
    ("B-A I-A E-A S-B O", [("A", 0, 3), ("B", 3, 4)]), ("B-A E-A E-A", [("A", 0, 2), ("A", 2, 3)]),
    ("E-A I-A", [("A", 0, 1), ("A", 1, 2)]), ("S-A I-A E-A", [("A", 0, 1), ("A", 1, 3)]),
    ("I-A S-A I-A", [("A", 0, 1), ("A", 1, 2), ("A", 2, 3)]), ("B-A E-B", [("A", 0, 1), ("B", 1, 2)]),
    ("O O", []), ("", []), ("B-A", [("A", 0, 1)]), ("B-A-b I-A-b", [("A-b", 0, 2)])])
def test_spans(tags, spans):
    assert spans_of(tags.split()) == spans


def test_other_names_of_the_same():
    assert spans_of("B-A I-A L-A U-A".split()) == spans_of("B-A I-A E-A S-A".split()) == [("A", 0, 3), ("A", 3, 4)]
    assert spans_of(["B-A", None, "I-A"]) == spans_of(["B-A", "O", "I-A"])


def tags_of(spans, length, scheme):
    """Tags of spans that do not overlap: what each scheme says of the first, the last and a lone word."""
    tags = ["O"] * length
    for kind, start, end in spans:
        names = {"BIO": "B" + "I" * (end - start - 1), "IO": "I" * (end - start),
                 "BIOES": "S" if end - start == 1 else "B" + "I" * (end - start - 2) + "E"}[scheme]
        tags[start:end] = [f"{name}-{kind}" for name in names]
    return tags


@st.composite
def disjoint_spans(draw, gap=0):
    """(spans, length of the sentence); `gap` words at least between two of them."""
    spans, place = [], draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 4))):
        end = place + draw(st.integers(1, 3))
        spans.append((draw(st.sampled_from(["LOC", "PER", "ORG-x"])), place, end))
        place = end + gap + draw(st.integers(0, 2))
    return spans, max(place, 1)


@pytest.mark.parametrize("scheme, gap", [("BIO", 0), ("BIOES", 0), ("IO", 1)])
def test_spans_are_those_that_were_tagged(scheme, gap):
    @settings(deadline=None)
    @given(sentence=disjoint_spans(gap))
    def check(sentence):
        spans, length = sentence
        assert spans_of(tags_of(spans, length, scheme)) == spans

    check()


@settings(deadline=None)
@given(sentences=st.lists(st.tuples(disjoint_spans(), disjoint_spans()), min_size=1, max_size=4))
def test_scores_are_those_of_sets_of_spans(sentences):
    """Counted anew from the spans themselves: an entity is sentence, type, first and last word."""
    everything = [[], []]
    rows = [[], []]
    for number, (gold, predicted) in enumerate(sentences):
        length = max(gold[1], predicted[1])
        for side, (spans, _) in enumerate((gold, predicted)):
            everything[side] += [(number, *span) for span in spans]
            rows[side].append(tags_of(spans, length, "BIO"))
    types = ["LOC", "ORG-x", "PER"]
    metrics = metrics_of_entities(entity_counts(*rows, types), types)
    for kind in (None, *types):
        gold, predicted = ({span for span in side if kind in (None, span[1])} for side in everything)
        precision = len(gold & predicted) / len(predicted) if predicted else 0.0
        recall = len(gold & predicted) / len(gold) if gold else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        found = metrics["entities"] if kind is None else metrics["entities"]["types"][kind]
        assert [found[name] for name in ("precision", "recall", "f1", "support")] == pytest.approx(
            [precision, recall, f1, len(gold)])
    assert metrics["entity_f1"] == metrics["entities"]["f1"]


@settings(deadline=None, max_examples=300)
@given(rows=st.lists(st.lists(st.tuples(*[st.sampled_from(["O", *(f"{p}-{t}" for p in "BIES" for t in "XY")])] * 2),
                              min_size=1, max_size=8), min_size=1, max_size=4))
def test_equal_to_seqeval(rows):
    metrics = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    gold, predicted = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    ours = metrics_of_entities(entity_counts(gold, predicted, ["X", "Y"]), ["X", "Y"])
    theirs = metrics.classification_report(gold, predicted, output_dict=True, zero_division=0)
    assert ours["entity_f1"] == pytest.approx(metrics.f1_score(gold, predicted, zero_division=0))
    for kind, scores in ours["entities"]["types"].items():
        if kind in theirs:
            assert list(scores.values()) == pytest.approx([theirs[kind][name] for name in (
                "precision", "recall", "f1-score", "support")])


def test_by_hand():
    gold = [["B-LOC", "I-LOC", "O", "B-PER"], ["O", "B-LOC"]]
    predicted = [["B-LOC", "I-LOC", "O", "O"], ["B-LOC", "I-LOC"]]
    metrics = metrics_of_entities(entity_counts(gold, predicted, ["LOC", "PER"]), ["LOC", "PER"])
    assert metrics["entities"]["types"] == {"LOC": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
                                            "PER": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}}
    assert metrics["entity_f1"] == pytest.approx(0.4) and metrics["entities"]["support"] == 3


def test_a_tagger_of_entities_is_selected_by_them():
    labels = ["O", "B-LOC", "I-LOC"]
    task = task_class("tagging")(labels)
    assert task.select_by == "entity_f1" and task.metric_names == ("accuracy", "macro_f1", "entity_f1")
    assert task_class("pos")(["NOUN", "VERB"]).select_by == "accuracy"
    assert span_records(["di", "Kuala", "Lumpur", "."], ["O", "B-LOC", "I-LOC", "O"]) == [
        {"type": "LOC", "start": 1, "end": 3, "text": "Kuala Lumpur"}]


def test_a_seed_that_was_scored_before_there_were_entities_is_named(tmp_path):
    import json
    import types

    from albert_hvd.finetuning.seeds import finished_seeds

    job = types.SimpleNamespace(options=types.SimpleNamespace(seeds=(1, 2, 3), output_dir=str(tmp_path)),
                                task=task_class("tagging")(["O", "B-LOC"]))
    scores = {"accuracy": 0.5, "macro_f1": 0.5, "entity_f1": 0.25}
    for seed in (1, 2):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "results.json").write_text(json.dumps({"seed": seed, "valid": scores}))
    assert finished_seeds(job) == {seed: {"seed": seed, "valid": scores} for seed in (1, 2)}
    del scores["entity_f1"]
    (tmp_path / "seed-2" / "results.json").write_text(json.dumps({"seed": 2, "valid": scores}))
    with pytest.raises(InputError, match="output_dir=.*: seed 2 was scored without entity F1, by an earlier version; "
                                         "remove the folder .*seed-2 to train that seed again"):
        finished_seeds(job)


def test_baselines_have_entity_scores():
    examples = [Example(("di", "Ipoh", "sana"), ("O", "B-LOC", "O"), "f", 1),
                Example(("ke", "Ipoh"), ("O", "B-LOC"), "f", 2)]
    result, = baselines.run("tagging", ["B-LOC", "O"], examples, examples, None, ["most_frequent_tag"])
    assert result["valid"]["entity_f1"] == 1.0 and result["valid"]["entities"]["types"]["LOC"]["support"] == 2


@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=[pytest.mark.parallel, pytest.mark.tier("ci")])])
def test_from_training_to_spans(tmp_path, ranks):
    import json

    from conftest import own_lines, run_command
    from small_tasks import tagged_sentences, write_conll
    from trained_models import make_config, write_run

    write_run(tmp_path / "run", make_config())
    tags = {"NOUN": "B-N", "VERB": "I-N", "X": "O"}
    sentences = [[(word, tags[tag]) for word, tag in sentence] for sentence in tagged_sentences(50)]
    path = write_conll(tmp_path / "train.conll", sentences)
    result = run_command("finetune", ranks, task="tagging", train_file=path, init_checkpoint=tmp_path / "run",
                         output_dir=tmp_path / "out", max_seq_length=24, num_train_epochs=6, learning_rate=0.02,
                         baselines="majority", train_batch_size=8)
    assert result.returncode == 0, result.stderr
    assert "best entity_f1" in result.stdout and "entities:" in result.stdout and "valid entity F1" in result.stdout
    values = json.loads((tmp_path / "out" / "results.json").read_text())
    valid = values["seeds"][0]["valid"]
    predictions = (tmp_path / "out" / "seed-1" / "predictions.jsonl").read_text()
    records = [json.loads(line) for line in predictions.splitlines()]
    rows = [[record[key] for record in records] for key in ("gold", "tags")]
    again = metrics_of_entities(entity_counts(*rows, ["N"]), ["N"])
    assert {key: valid[key] for key in again} == again and valid["entities"]["support"] > 0
    assert values["baselines"][0]["valid"]["entities"]["support"] == valid["entities"]["support"]
    answer = run_command("predict", stdin="rumah buku makan\n\n", model=tmp_path / "out", spans=True)
    first, empty = map(json.loads, answer.stdout.splitlines())
    assert first["spans"] == span_records(first["words"], first["tags"]) and empty["spans"] == []


def test_spans_of_other_tags_are_refused(tmp_path):
    from albert_hvd.finetuning.prediction import TaskPredictor
    from albert_hvd.finetuning.task_model import TaskModel, write_task_model
    from small_corpus import make_tokenizer
    from trained_models import make_config

    tokenizer = make_tokenizer(tmp_path)
    task = task_class("pos")(["NOUN", "VERB"], max_seq_length=16)
    write_task_model(str(tmp_path / "model"), TaskModel(make_config(), task), task, tokenizer)
    with pytest.raises(InputError, match=r"its labels \(NOUN, VERB, ...\) mark no entities.*leave spans out"):
        TaskPredictor(str(tmp_path)).predict(["saya"], spans=True)


def test_words_that_were_cut_off_are_not_scored(tiny_config):
    import types

    from albert_hvd.finetuning.evaluation import _scored_tags

    task = task_class("tagging")(["O", "B-A", "I-A"])
    rows = types.SimpleNamespace(num_slots=np.array([3, 2]))
    part = types.SimpleNamespace(rows=rows, gold=np.array([1, 2, 2, 0, 1]))
    scores = types.SimpleNamespace(labels=np.array([1, 2, -1, -1, -1]))
    gold, predicted = _scored_tags(task, part, scores)
    assert list(itertools.chain(*gold)) == ["B-A", "I-A"] == list(itertools.chain(*predicted)) and gold[1] == []
