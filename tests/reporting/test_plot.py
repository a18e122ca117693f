"""`bin/plot`: the files it writes, the page's content, and what it refuses."""

import os
import re
import struct

import pytest

from albert_hvd.errors import InputError
from albert_hvd.reporting.drawing import THEME
from albert_hvd.reporting.report import report_runs
from conftest import own_lines, run_command
from html_documents import HOSTILE, Document, requests_of
from synthetic_run import FLAGS, held_out_record, record, write_run

CURVES = ["masked_lm_loss", "masked_lm_accuracy", "sentence_loss", "sentence_accuracy", "loss", "learning_rate",
          "grad_norm", "real_tokens_per_sec"]


def report(*folders, **options):
    """The report of runs as (text, `Document`)."""
    path = report_runs(list(folders), **options)[-1]
    with open(path, encoding="utf-8") as file:
        page = file.read()
    return page, Document(page)


def test_the_command_writes_pictures_and_the_page(tmp_path):
    folder = write_run(tmp_path / "run", held_out=[held_out_record(20, 4.0)])
    result = run_plot(folder, "--x=hours", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    paths = [os.path.join(folder, "plots", name) for name in [*(f"{curve}.png" for curve in CURVES), "report.html"]]
    assert result.stdout.splitlines() == paths
    assert sorted(os.listdir(os.path.join(folder, "plots"))) == sorted(map(os.path.basename, paths))
    for path in paths[:-1]:
        with open(path, "rb") as file:
            header = file.read(24)
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:]) == (1280, 800)


def run_plot(*arguments, cwd):
    """`bin/plot` with arguments that are no flags."""
    return run_command("plot", words=arguments, cwd=cwd)


@pytest.mark.parametrize("prepare, arguments, message", [
    (None, [], "RUN_DIR is missing"),
    (None, ["nowhere"], "RUN_DIR nowhere: no such folder"),
    ("", ["run"], "run/train_log.jsonl: it is empty"),
    ("\x00noise\n{", ["run"], "run/train_log.jsonl: none of its 2 lines is a record of a step"),
    (None, ["good", "--x=days"], "flag --x=days"),
    (None, ["good", "--output_dir=good/flags.json/plots"],
     "--output_dir: cannot make the folder good/flags.json/plots"),
])
def test_bad_input_is_one_line(tmp_path, prepare, arguments, message):
    write_run(tmp_path / "good")
    if prepare is not None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "train_log.jsonl").write_text(prepare)
    result = run_plot(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split()), result.stderr
    assert len(own_lines(result, "plot")) == 1 and "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_the_tables_hold_the_figures_of_the_run(tmp_path):
    _, document = report(write_run(
        tmp_path / "run", held_out=[held_out_record(20, 3.75), held_out_record(40, 4.0)],
        config={"hidden_size": 16}, status={"state": "stopped", "reason": "SIGTERM"},
        eval_results={"global_step": 40, "masked_lm_loss": 3.5, "unigram_masked_lm_loss": 7.25}))
    tables = document.tables
    assert tables["How far the run is"] == [
        ["", "run"], ["State", "stopped, SIGTERM"], ["Step", "40 of 40"], ["Time of training", "0 h 1 min"],
        ["Epochs read", "–"], ["Real tokens read", "6\u202f144"], ["Real tokens per second, median", "154"],
        ["Waiting for data, median", "25.0\u202f%"]]
    assert tables["Losses and accuracies of run"] == [
        ["", "Training, step 40", "Held out, last: step 40", "Held out, lowest loss: step 20", "bin/validate, step 40"],
        ["Masked-LM loss", "2.3000", "3.4000", "3.1500", "3.5000"],
        ["Masked-LM accuracy", "0.4000", "0.1250", "0.1250", "–"],
        ["Sentence loss", "0.7000", "0.6000", "0.6000", "–"],
        ["Sentence accuracy", "0.5000", "0.6250", "0.6250", "–"],
        ["Total loss", "3.0000", "4.0000", "3.7500", "–"],
        ["Loss of piece frequencies", "–", "–", "–", "7.2500"]]
    assert tables["From a row to the whole run"] == [
        ["", "run"], ["train_batch_size (rows of an update)", "12"],
        ["= micro-batch x accumulation x ranks", "3 x 2 x 2"], ["Positions of a row", "16"],
        ["Positions of an update", "192"], ["Real tokens of an update, mean", "154 (80.0\u202f%)"],
        ["Updates", "40"], ["Records", "–"], ["Parameters", "–"]]
    assert tables["The model: config.json"] == [["", "run"], ["hidden_size", "16"]]
    assert tables["The run: flags.json"][1:] == [[name, str(value)] for name, value in FLAGS.items()]


def test_several_runs_stand_side_by_side(tmp_path):
    folders = [write_run(tmp_path / "a" / "model"),
               write_run(tmp_path / "b" / "model", [record(3)], flags={**FLAGS, "learning_rate": 0.5})]
    page, document = report(*folders, output_dir=str(tmp_path / "both"))
    assert document.tables["How far the runs are"][:3] == [
        ["", "a/model", "b/model"], ["State", "–", "–"], ["Step", "40 of 40", "3 of 40"]]
    assert ["learning_rate", "0.001", "0.5"] in document.tables["The run: flags.json"]
    assert re.findall(r'<tr class="differs"><th scope="row">(\w+)', page) == ["learning_rate"]
    pictures = [attributes["aria-label"] for tag, attributes in document.tags if tag == "svg"]
    assert len(pictures) == len(CURVES)
    assert all("a/model, training: from" in text and "b/model, training: from" in text for text in pictures)


def test_no_text_of_a_run_becomes_markup(tmp_path):
    folder = write_run(
        tmp_path / "<b>&'$x_$", [record(1, **{HOSTILE: 1.0})], config={HOSTILE: HOSTILE, "lone": "\ud800"},
        flags={"train_batch_size": HOSTILE, "max_seq_length": 10**400, "size": [HOSTILE], "precision": {HOSTILE: 1}},
        status={"state": HOSTILE, "reason": {HOSTILE: HOSTILE}},
        eval_results={"global_step": HOSTILE, "loss": HOSTILE, "masked_lm_loss": 10**400, "masked_lm_accuracy": True})
    _, document = report(folder, masked_texts=[HOSTILE])
    assert not {"script", "img", "b"} & {tag for tag, _ in document.tags}
    assert [HOSTILE, HOSTILE] in document.tables["The model: config.json"]
    assert any(name == "Step" and value == "1 of –" for name, value in document.tables["How far the run is"])
    assert "Pre-training: <b>&'$x_$" in document.texts
    assert requests_of(document) == []
    assert [attributes for _, attributes in document.tags if any(name.startswith("on") for name in attributes)] == []


def test_the_page_is_whole_in_itself_and_semantic(tmp_path):
    page, document = report(write_run(tmp_path / "run", held_out=[held_out_record(20, 4.0)]))
    assert page.startswith("<!doctype html>\n<html lang=\"en\">")
    assert requests_of(document) == []
    assert "://" not in page and "@import" not in page
    tags = [tag for tag, _ in document.tags]
    assert (tags.count("h1"), tags.count("main"), tags.count("svg")) == (1, 1, len(CURVES))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [a for _, a in document.tags]
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:url\(|href=")#([^")]+)', page))
    assert referred == set(ids)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in document.tags if tag == "th")
    assert all(attributes["role"] == "img" and attributes["aria-label"]
               for tag, attributes in document.tags if tag == "svg")
    # Colours come from the page, so that dark mode reaches the curves.
    assert set(re.findall(r"#[0-9a-f]{6}\b", page.split("</style>")[1])) == set()


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("role", [role for role in THEME if role not in ("line", "background")])
def test_colours_can_be_read(role, mode):
    """Contrast as WCAG 2.2 defines it; 4.5 is its level AA for text."""
    def luminance(colour):
        parts = [int(colour[start:start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(luminance(THEME[name][mode]) for name in (role, "background"))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_same_run_gives_the_same_bytes(tmp_path):
    folder = write_run(tmp_path / "run", held_out=[held_out_record(20, 4.0)])
    first, second = (report_runs([folder], str(tmp_path / name)) for name in ("first", "second"))
    for one, other in zip(first, second, strict=True):
        with open(one, "rb") as one_file, open(other, "rb") as other_file:
            assert one_file.read() == other_file.read(), one


def test_a_long_log_stays_a_small_page(tmp_path):
    records = [record(step, loss=5 + step % 7 / 10) for step in range(1, 20001)]
    page, _ = report(write_run(tmp_path / "run", records))
    assert len(page) < 2_000_000


def test_masks_are_filled_where_the_tokenizer_lies_beside_the_run(tmp_path, monkeypatch):
    class Model:
        def fill_mask(self, text, top_k):
            if "<mask>" not in text:
                raise InputError("the text has no <mask>")
            return [[("▁negeri", 0.75, text.replace("<mask>", "negeri"))][:top_k]]

    monkeypatch.setattr("albert_hvd.serving.text_model.load", lambda folder: Model())
    without, with_tokenizer = write_run(tmp_path / "without"), write_run(tmp_path / "with")
    open(os.path.join(with_tokenizer, "spiece.model"), "w").close()
    _, document = report(without, with_tokenizer, masked_texts=["ibu <mask> Malaysia", "tiada"])
    assert document.tables["ibu <mask> Malaysia"] == [
        ["Piece", "Prob.", "Filled in"], ["▁negeri", "0.7500", "ibu negeri Malaysia"]]
    assert "the text has no <mask>" in document.texts
    assert any(f"no spiece.model in {without}" in text and "--tokenizer" in text for text in document.texts)
