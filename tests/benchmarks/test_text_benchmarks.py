"""bin/benchmark encode, predict, fill_mask and finetune: the same work as Hugging Face's; no speed is asserted."""

import numpy as np
import pytest
from small_corpus import make_documents, write_documents
from small_tasks import labelled_texts, tagged_sentences, write_conll, write_tsv
from task_folders import write_task_folder
from trained_models import make_config, write_run

from albert_hvd.errors import InputError, RunFailed
from benchmarks import encode, fill_mask, finetune, huggingface_work, predict, text_contest
from benchmarks.report import Report
from benchmarks.text_contest import Results, Round, Summary, compared, differing, evenly

TEXTS = ["saya makan di rumah", "mereka ke sekolah", "kanak-kanak bermain bola", "dia", "saya (suka) 3.50 , teh!"] * 3


def of_values(*rows, choices=None):
    return Results(np.array(rows, np.float64), None if choices is None else np.array(choices))


def test_texts_are_taken_evenly():
    assert evenly(list("abcdefg"), 3) == ["a", "c", "e"]
    assert evenly([1, 2], 2) == evenly([1, 2], 5) == evenly([1, 2], 0) == [1, 2]


@pytest.mark.parametrize("line, masked", [
    ("saya makan nasi", "saya [M] nasi"), ("saya", "[M]"), ("<mask> makan [MASK]", "[M] makan [M]")])
def test_a_line_without_a_mask_gets_one(line, masked):
    assert fill_mask.with_mask(line, "[M]") == masked


@pytest.mark.parametrize("ours, theirs, different", [
    (of_values([0.5, 1], [2, 3]), of_values([0.50001, 1], [2, 3.1]), [False, True]),
    (of_values([0.5, 4000], [0, 3]), of_values([0.5, 4000.1], [0.2, 3]), [False, False]),  # relative to the largest
    (of_values([0.5], [np.nan]), of_values([np.nan], [np.nan]), [True, True]),
    (of_values([0.6, 0.3], [0.45, 0.44999], choices=[["a", "b"], ["a", "b"]]),
     of_values([0.6, 0.3], [0.45, 0.44999], choices=[["b", "a"], ["b", "a"]]), [True, False]),  # equally likely
    (of_values([0.6], choices=[["a"]]), of_values([0.6], choices=[["b"]]), [True]),
    (of_values([], [], choices=[["X"], ["Y"]]), of_values([], [], choices=[["X"], ["X"]]), [False, True])])
def test_results_that_differ(ours, theirs, different):
    assert differing(ours, theirs)[0].tolist() == different


def test_one_different_result_in_a_hundred_is_said_and_two_are_refused():
    ours, theirs = of_values(*[[0.0]] * 100), of_values(*[[0.0]] * 99, [0.5])
    assert compared(ours, theirs, "them") == (
        "99 of 100 results are those of them (within 0.0001; the largest difference is 0.5)")
    with pytest.raises(RunFailed, match="only 98 of 100 results are those of them"):
        compared(ours, of_values(*[[0.0]] * 98, [0.5], [0.5]), "them")
    with pytest.raises(RunFailed, match="of the shape"):
        compared(ours, of_values([0.0]), "them")


def test_the_table_has_medians_and_the_notes_ratios_of_turns(monkeypatch):
    results = of_values([0.0])
    outcome = {"albert_hvd": ([Round(2.0), Round(1.0), Round(3.0)], Summary(5.0, 2 << 20, results, {})),
               "huggingface": ([Round(4.0), Round(5.0), Round(3.0, 0.7)],
                               Summary(9.0, 4 << 20, results, {"torch": "2"}))}
    monkeypatch.setattr(text_contest, "run_by_turns", lambda contestants, rounds: outcome)
    options = encode.Options(peer="huggingface")
    report = text_contest.measure(Report("x", {}), options, (None, ()), ["a"] * 12, {}, "", num_tokens=24)
    assert report.rows == [
        {"program": "albert_hvd", "texts/s": 6.0, "real tokens/s": 12.0, "peak MiB": 2.0, "set-up s": 5.0},
        {"program": "huggingface", "texts/s": 3.0, "real tokens/s": 6.0, "peak MiB": 4.0, "set-up s": 9.0, "loss": 0.7}]
    assert report.notes[0] == ("albert_hvd: 2.00 times the texts/s of huggingface (1.00 to 5.00 in the turns), "
                               "0.50 times its memory")
    assert report.versions["torch"] == "2"


@pytest.mark.parametrize("text, pieces, tags", [
    ("ab c", [("X", 1), ("Y", 2), ("Z", 4)], ["X", "Z"]),
    ("ab (c)", [("X", 2), ("Y", 3), ("Z", 4), ("Z", 6)], ["X", "Y"]),  # the blank is the piece of its own in front of (
    ("ab c", [("X", 2)], ["X", ""])])
def test_a_words_tag_is_that_of_its_first_piece(text, pieces, tags):
    assert huggingface_work._tags(text, [{"entity": tag, "end": end} for tag, end in pieces]) == tags


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("text_benchmarks") / "run", make_config())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with lines.txt, emotions.tsv and tags.conll."""
    folder = tmp_path_factory.mktemp("text_benchmark_files")
    write_documents(folder / "lines.txt", make_documents(10, most_words=8))
    write_tsv(folder / "emotions.tsv", labelled_texts(30))
    write_conll(folder / "tags.conll", tagged_sentences(30))
    return folder


def benchmark_options(name, files, folder, **changes):
    """(module, its options) of a small comparison without a peer."""
    module = {"encode": encode, "fill_mask": fill_mask, "predict": predict, "finetune": finetune}[name]
    own = {"task": "emotion", "train_file": str(files / "emotions.tsv"), "max_seq_length": 16, "train_batch_size": 8}
    lines = {"input_file": str(files / "lines.txt")}
    return module, module.Options(**{"model": folder, "rounds": 2, "max_texts": 20,
                                     **(own if name == "finetune" else lines), **changes})


@pytest.mark.parametrize("name, changes, named", [
    ("encode", {"model": None}, "--model is missing"), ("encode", {"input_file": None}, "--input_file is missing"),
    ("encode", {"peer": "gpt"}, "peer=gpt"), ("fill_mask", {"rounds": 0}, "--rounds=0"),
    ("encode", {"peer_batch_size": 0}, "--peer_batch_size=0"), ("encode", {"max_texts": -1}, "--max_texts=-1"),
    ("predict", {"peer_python": "/no/python"}, "peer_python=/no/python: no such program"),
    ("predict", {}, "model=.*: no task model there"), ("encode", {"model": "/nowhere"}, "model=/nowhere"),
    ("finetune", {"task": "regression"}, "task=regression"), ("finetune", {"max_seq_length": 49}, "max_seq_length=49"),
    ("finetune", {"train_file": None}, "--train_file is missing"),
    ("finetune", {"model": "/nowhere"}, "^model=/nowhere"),
    ("finetune", {"train_batch_size": 0}, "--train_batch_size=0")])
def test_bad_flags_are_refused(files, run_folder, name, changes, named):
    module, options = benchmark_options(name, files, run_folder, **changes)
    with pytest.raises(InputError, match=named):
        module.run(options, None)


def test_texts_longer_than_a_row_are_left_out_and_counted():
    report = Report("x", {"input_file": "a.txt"})
    assert text_contest.without_long(["a", "aaa", "aa"], len, 2, report) == ["a", "aa"]
    assert report.notes == ["left out: 1 texts of more than 2 pieces"]
    with pytest.raises(InputError, match="every text has more than 0 pieces"):
        text_contest.without_long(["a"], len, 0, report)


def test_a_tagger_that_transformers_has_no_class_for_is_refused_by_its_model(files, tmp_path):
    folder = write_task_folder(tmp_path, "tagging")  # reads the mean over a word's pieces
    module, options = benchmark_options("predict", files, folder, peer="huggingface")
    with pytest.raises(InputError, match="^model=.*mean over its words"):
        module.run(options, None)


def test_rows_for_the_peer_have_labels_at_first_pieces(files, run_folder, tmp_path):
    _, options = benchmark_options("finetune", files, run_folder, task="pos", train_file=str(files / "tags.conll"))
    job = finetune.prepare(options, str(tmp_path))
    rows = finetune.rows_for_peer(job)
    assert len(rows) == len(job.data.train.rows.input_ids) and job.task.pooling == "first"
    labels = [label for row in rows for label in row["labels"] if label != -100]
    assert labels == job.data.train.gold.tolist()
    for row, ids, positions in zip(rows, job.data.train.rows.input_ids, job.data.train.rows.positions, strict=True):
        assert row["input_ids"] == ids.tolist() and len(row["labels"]) == len(ids)
        assert np.flatnonzero(np.array(row["labels"]) != -100).tolist() == positions.tolist()


@pytest.mark.tier("ci")
@pytest.mark.parametrize("name", ["encode", "finetune"])
def test_this_program_alone(files, run_folder, name):
    module, options = benchmark_options(name, files, run_folder, rounds=1)
    report = module.run(options, None)
    row, = report.rows
    assert row["program"] == "albert_hvd" and row["peak MiB"] > 100 and row["texts/s"] > 0
    assert (row.get("loss", 0) > 0) is (name == "finetune")


def peer_results(settings, folder):
    """What the peer's side gives for the settings, in this process."""
    peer = huggingface_work.Peer({"batch_size": 4, "threads": 1, "results": str(folder / "results.npz"), **settings})
    answer = peer.round()
    assert peer.finish()["peak"] > 2**20
    with np.load(folder / "results.npz") as file:
        return answer, Results(**{name: file[name] for name in file.files})


def check_same(work, texts, theirs):
    compared(work.results(work.run(texts)), theirs, "theirs")
    different, _ = differing(work.results(work.run(texts)), theirs)
    assert len(different) and not different.any()


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")


@pytest.mark.tier("ci")
@pytest.mark.parametrize("is_sorted", [False, True])
def test_vectors_are_the_peers(torch, run_folder, tmp_path, is_sorted):
    encode.read_and_export(encode.Options(model=run_folder, peer="huggingface"), str(tmp_path / "hf"))
    _, theirs = peer_results({"work": "encode", "folder": str(tmp_path / "hf"), "texts": TEXTS, "sorted": is_sorted},
                             tmp_path)
    check_same(encode.OwnEncode(run_folder), TEXTS, theirs)


@pytest.mark.tier("ci")
def test_filled_masks_are_the_peers(torch, run_folder, tmp_path):
    _, tokenizer = encode.read_and_export(encode.Options(model=run_folder, peer="huggingface"), str(tmp_path / "hf"))
    texts = [fill_mask.with_mask(text, "<mask>") for text in TEXTS] + ["<mask> ke <mask>"]
    _, theirs = peer_results({"work": "fill_mask", "folder": str(tmp_path / "hf"), "texts": texts, "sorted": True,
                              "top_k": 3}, tmp_path)
    assert theirs.choices.shape == (len(TEXTS) + 2, 3)
    check_same(fill_mask.OwnFillMask(run_folder, 3), texts, theirs)


@pytest.mark.tier("ci")
@pytest.mark.parametrize("name", ["classification", "regression", "tagging"])
def test_predictions_are_the_peers(torch, tmp_path, name):
    folder = write_task_folder(tmp_path, name, long_texts="truncate", pooling="first", max_seq_length=48)
    predict.export_for_peer(folder, str(tmp_path / "hf"))
    _, theirs = peer_results({"work": "tag" if name == "tagging" else "classify", "folder": str(tmp_path / "hf"),
                              "texts": TEXTS, "sorted": True}, tmp_path)
    check_same(predict.OwnPredict(folder), TEXTS, theirs)


@pytest.mark.tier("ci")
@pytest.mark.parametrize("task, file", [("emotion", "emotions.tsv"), ("pos", "tags.conll")])
def test_fine_tuning_begins_with_the_same_model_and_both_learn(torch, files, run_folder, tmp_path, task, file):
    _, options = benchmark_options("finetune", files, run_folder, task=task, train_file=str(files / file))
    job = finetune.prepare(options, str(tmp_path))
    finetune._write_start(job, str(tmp_path / "start"))
    predict.export_for_peer(str(tmp_path / "start"), str(tmp_path / "hf"))
    settings = {**finetune._peer_settings(job, str(tmp_path / "hf")), "texts": finetune.rows_for_peer(job),
                "sorted": True}
    answer, theirs = peer_results(settings, tmp_path)
    own = finetune.OwnFineTune(job)
    own.warm_up()
    loss = own.run(None)
    different, _ = differing(own.results(loss), theirs)
    assert len(different) == len(job.data.train.gold) and not different.any()
    # Another order and other dropout, the same examples: no more than that can be asked of the loss.
    assert np.isfinite(loss) and np.isfinite(answer["loss"])


@pytest.mark.tier("all")
def test_turns_with_the_peer(torch, files, run_folder):
    module, options = benchmark_options("encode", files, run_folder, peer="huggingface", peer_sorted=True, rounds=1)
    report = module.run(options, None)
    assert [row["program"] for row in report.rows] == ["albert_hvd", "huggingface", "huggingface, sorted"]
    assert all(row["texts/s"] > 0 and row["peak MiB"] > 100 and row["set-up s"] > 0 for row in report.rows)
    assert report.notes[1].startswith("20 of 20 results are those of huggingface (")
    assert report.versions["torch"].startswith("2.")
