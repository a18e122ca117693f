"""`bin/plot --kind=comparison`: its table, pictures and page, and what it refuses."""

import copy
import json
import os
import re
import struct

import pytest

from albert_hvd.errors import InputError
from albert_hvd.reporting.comparison import compare_results
from albert_hvd.reporting.comparison_reader import Figure, read_comparisons
from conftest import own_lines, run_command
from fine_tuning_results import baseline, metrics, result, write_result
from html_documents import HOSTILE, Document, requests_of

CHARTS = ["accuracy", "macro_f1", "parameters", "tokens_per_sec"]


def plot(*arguments, cwd):
    return run_command("plot", kind="comparison", words=arguments, cwd=cwd)


def entries_of(*folders):
    comparison, = read_comparisons(list(folders))
    return {entry.name: entry for entry in comparison.entries}


def rows_of(markdown):
    """The rows of a Markdown table, by the first cell."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def test_the_command_prints_a_table_and_writes_pictures_and_the_page(tmp_path):
    folder = write_result(tmp_path / "tiny")
    outcome = plot("tiny", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    table, _, paths = outcome.stdout.rpartition("\n\n")
    names = [f"emotion_{chart}.png" for chart in CHARTS]
    assert paths.splitlines() == [os.path.join("tiny", "plots", name) for name in [*names, "report.html"]]
    rows = rows_of(table)
    assert rows["Model"] == ["Group", "Accuracy", "Macro-F1", "Parameters", "Tokens/s", "Seeds"]
    assert rows["tiny"] == ["pre-trained", "0.8125 ± 0.0884", "0.5000 ± 0.0000", "2\u202f660\u202f000",
                            "1\u202f100", "2"]
    assert rows["majority"] == ["baseline", "0.2500", "0.1250", "1", "5\u202f000", "1"]
    assert rows["ALBERT base"] == ["published, not comparable", "0.86506", "0.848", "–", "–", "–"]
    assert "emotion, valid part:" in table and "huseinzol05/malaya" in table
    for name in names:
        with open(os.path.join(folder, "plots", name), "rb") as file:
            header = file.read(24)
        assert header[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">I", header[16:20]) == (1280,)


def test_a_result_becomes_entries_with_means_over_seeds(tmp_path):
    entries = entries_of(write_result(tmp_path / "tiny"))
    assert list(entries) == ["tiny", "majority", "tf-idf + naive Bayes", "tf-idf", "BERT", "XLNet", "ALBERT base",
                             "ALBERT large"]
    tiny = entries["tiny"]
    assert (tiny.group, tiny.num_seeds, tiny.scores["accuracy"]) == ("pre-trained", 2, Figure(0.8125, 0.0884))
    assert (tiny.tokens_per_sec.mean, tiny.tokens_per_sec.spread) == (1100.0, pytest.approx(141.4213562))
    assert tiny.label_f1 == {"sad": 0.75, "happy": 0.5}
    assert entries["majority"].scores["accuracy"] == Figure(0.25)


def test_random_weights_follow_pre_trained_ones_and_shared_baselines_are_named_once(tmp_path):
    other = result()["baselines"][0]
    folders = [write_result(tmp_path / "random", name="random", init_checkpoint=None),
               write_result(tmp_path / "tiny", baselines=[other, baseline("tf-idf + naive Bayes", 0.75)])]
    comparison, = read_comparisons(folders)
    assert [(entry.name, entry.group) for entry in comparison.entries[:5]] == [
        ("tiny", "pre-trained"), ("random", "random"), ("majority", "baseline"), ("tf-idf + naive Bayes", "baseline"),
        ("tf-idf + naive Bayes", "baseline")]


def test_models_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    folders = [write_result(tmp_path / name) for name in ("first", "second")]
    assert list(entries_of(*folders))[:2] == ["tiny (first)", "tiny (second)"]


def test_the_test_part_is_shown_once_every_result_has_it(tmp_path):
    values = result()
    seen = copy.deepcopy(values)
    for one in [*seen["seeds"], *seen["baselines"]]:
        one["test"] = metrics(0.5, 0.4)
    seen["summary"]["test"] = {"accuracy": {"mean": 0.5, "spread": None}, "macro_f1": {"mean": 0.4, "spread": None}}
    seen["data"]["test"] = {"file": "test.tsv", "examples": 4, "sha256": "c" * 64}
    with_test = write_result(tmp_path / "with", **seen)
    without = write_result(tmp_path / "without", name="other")
    comparison, = read_comparisons([with_test])
    assert (comparison.part, comparison.entries[0].scores["accuracy"]) == ("test", Figure(0.5))
    comparison, = read_comparisons([with_test, without])
    assert (comparison.part, comparison.entries[0].scores["accuracy"]) == ("valid", Figure(0.8125, 0.0884))


def test_the_page_shows_every_task_and_is_whole_in_itself(tmp_path):
    folders = [write_result(tmp_path / "emotion"),
               write_result(tmp_path / "random", name="random", init_checkpoint=None),
               write_result(tmp_path / "pos", name="tagger", task="pos")]
    _, paths = compare_results(folders, str(tmp_path / "out"))
    with open(paths[-1], encoding="utf-8") as file:
        page = file.read()
    document = Document(page)
    assert requests_of(document) == [] and "<script" not in page
    assert [tag for tag, _ in document.tags].count("svg") == 2 * len(CHARTS)
    pictures = [attributes["aria-label"] for tag, attributes in document.tags if tag == "svg"]
    assert "tiny (pre-trained): 0.8125 ± 0.0884; random (from random weights): 0.8125" in pictures[0]
    assert "ALBERT large (published, not comparable): 0.86866" in pictures[0]
    assert not any("published" in text for text in pictures[2:4])
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"#[0-9a-f]{6}\b", page.split("</style>")[1])) == set()
    assert document.tables["F1 of each label, pos, valid part"] == [
        ["", "tagger", "majority", "tf-idf + naive Bayes"], ["sad", "0.750", "0.500", "0.500"],
        ["happy", "0.500", "0.750", "0.750"]]
    assert ["init_checkpoint", "runs/tiny", "–"] in document.tables["Checkpoints, data and settings: emotion"]


def regression(name, pearson, **changes):
    """A result of numbers: a seed, and a baseline that knows nothing."""
    scores = {"pearson": pearson, "spearman": 0.25, "mse": 1.5, "count": 8, "loss": None}
    mean = {"name": "mean", "parameters": 1, "seconds": 1.0, "tokens_per_sec": 500.0,
            "valid": {**scores, "pearson": -0.125, "spearman": 0.0}, "test": None}
    return dict(task="pair_regression", kind="pair_regression", labels=[], name=name, baselines=[mean],
                seeds=[{"seed": 1, "best_epoch": 2, "real_tokens_per_sec": 1000.0, "valid": scores, "test": None}],
                summary={"valid": {"pearson": {"mean": pearson, "spread": None},
                                   "spearman": {"mean": 0.25, "spread": None}}, "test": None}, **changes)


def test_regressions_are_compared_by_their_correlations(tmp_path):
    folders = [write_result(tmp_path / name, **regression(name, pearson))
               for name, pearson in (("tiny", 0.75), ("base", 0.8))]
    markdown, paths = compare_results(folders, str(tmp_path / "out"))
    rows = rows_of(markdown)
    assert rows["Model"] == ["Group", "Pearson", "Spearman", "Parameters", "Tokens/s", "Seeds"]
    assert rows["tiny"][1:3] == ["0.7500", "0.2500"] and rows["base"][1:3] == ["0.8000", "0.2500"]
    assert rows["mean"][:3] == ["baseline", "-0.1250", "0.0000"]
    assert [os.path.basename(path) for path in paths] == [
        *(f"pair_regression_{chart}.png" for chart in ("pearson", "spearman", "parameters", "tokens_per_sec")),
        "report.html"]
    with open(paths[-1], encoding="utf-8") as file:
        tables = Document(file.read()).tables
    assert not any(caption.startswith("F1 of each label") for caption in tables)
    broken = write_result(tmp_path / "broken", **{**regression("x", 0.5), "summary": {"valid": {}, "test": None}})
    with pytest.raises(InputError, match="damaged"):
        compare_results([broken])


def test_the_f1_of_entities_is_compared_where_it_is_known(tmp_path):
    summary = result()["summary"]
    summary["valid"]["entity_f1"] = {"mean": 0.625, "spread": None}
    folders = [write_result(tmp_path / "new", name="new", task="tagging", kind="tagging", summary=summary),
               write_result(tmp_path / "old", name="old", task="tagging", kind="tagging")]
    rows = rows_of(compare_results(folders, str(tmp_path / "out"))[0])
    assert rows["Model"][1:4] == ["Accuracy", "Macro-F1", "Entity F1"]
    assert (rows["new"][3], rows["old"][3], rows["majority"][3]) == ("0.6250", "–", "–")


def test_no_text_of_a_result_becomes_markup(tmp_path):
    folder = write_result(tmp_path / "run", name=f"a | b\n{HOSTILE}", machine=HOSTILE, settings={HOSTILE: HOSTILE},
                          baselines=[baseline(HOSTILE, 0.5)])
    table, paths = compare_results([folder])
    assert all(line.count(" | ") == 6 for line in table.splitlines() if line.startswith("| "))
    with open(paths[-1], encoding="utf-8") as file:
        document = Document(file.read())
    assert not {"script", "img"} & {tag for tag, _ in document.tags} and requests_of(document) == []
    assert [HOSTILE, HOSTILE] in document.tables["Checkpoints, data and settings: emotion"]


def test_the_same_results_give_the_same_bytes(tmp_path):
    folder = write_result(tmp_path / "tiny")
    contents = []
    for name in ("first", "second"):
        _, paths = compare_results([folder], str(tmp_path / name))
        contents.append([open(path, "rb").read() for path in paths])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("changes, message", [
    ({"format": "other"}, "not of the format"),
    ({"task": "../../etc"}, "its task is '../../etc'"),
    ({"seeds": []}, "damaged"),
    ({"seeds": [{"seed": 1}]}, "damaged"),
    ({"parameters": "many"}, "damaged"),
    ({"data": {"valid": {}}, "summary": None}, "damaged"),
    ({"data": {"train": "train.tsv", "valid": {"sha256": "b"}}}, "damaged"),
    ({"baselines": [baseline("bad", float("nan"))]}, "damaged"),
])
def test_damaged_results_are_refused(tmp_path, changes, message):
    folder = write_result(tmp_path / "run", **changes)
    with pytest.raises(InputError, match=f"RESULT {folder}/results.json: {message}") as error:
        compare_results([folder])
    assert "\n" not in str(error.value) and not os.path.exists(os.path.join(folder, "plots"))


def test_results_on_other_texts_are_refused(tmp_path):
    data = result()["data"]
    other = {**data, "valid": {**data["valid"], "sha256": "d" * 64, "file": "other.tsv"}}
    folders = [write_result(tmp_path / "one"), write_result(tmp_path / "other", data=other)]
    with pytest.raises(InputError, match=r"other/results.json: scored on another valid file \(other.tsv\)"):
        read_comparisons(folders)
    # The training file may be another one: with less data, say.
    data = {**data, "train": {"file": "half.tsv", "examples": 40, "sha256": "e" * 64}}
    assert len(read_comparisons([folders[0], write_result(tmp_path / "half", data=data)])) == 1


@pytest.mark.parametrize("arguments, message", [
    ([], "RESULT is missing"),
    (["nowhere"], "RESULT nowhere: cannot be read (No such file or directory)"),
    (["empty"], "RESULT empty/results.json: cannot be read"),
    (["noise"], "RESULT noise: not JSON"),
    (["list.json"], "RESULT list.json: not of the format"),
])
def test_bad_input_is_one_line(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise").write_bytes(b"\xff\x00{")
    (tmp_path / "list.json").write_text(json.dumps([1]))
    outcome = plot(*arguments, cwd=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    line, = own_lines(outcome, "plot")
    assert message in line and "Traceback" not in outcome.stderr
