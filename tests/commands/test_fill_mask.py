"""bin/fill_mask: what it prints, what it refuses, and that transformers gives the same probabilities."""

import re

import pytest
from conftest import own_lines, run_command
from trained_models import make_config, write_run

import albert_hvd
from albert_hvd.serving.export import export

LINE = re.compile(r"  (\d\.\d{6})  (\S+) +(.*)")
TEXTS = ["Kuala Lumpur ialah ibu <mask> Malaysia", "<mask>kan saya makan.", "kanak-kanak <mask>an di padang",
         "saya makan  <mask>", "di <mask> rumah <mask> besar"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), make_config())


def call(*texts, stdin="", cwd=None, **flags):
    return run_command("fill_mask", words=texts, stdin=stdin, cwd=cwd, **flags)


def candidates_of(output):
    """[[(probability, piece, filled), ...] for each mask] of what the command printed."""
    masks = []
    for line in output.splitlines():
        match = LINE.fullmatch(line)
        if match:
            masks[-1].append((float(match[1]), match[2], match[3]))
        else:
            masks.append([])
    return masks


def test_the_candidates_of_texts_and_of_lines(run):
    result = call(*TEXTS[:2], model=run, top_k=3)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == TEXTS[0]
    model = albert_hvd.load(run)
    assert candidates_of(result.stdout) == [
        [(pytest.approx(probability, abs=1e-6), piece, filled) for piece, probability, filled in candidates]
        for text in TEXTS[:2] for candidates in model.fill_mask(text, top_k=3)]
    lines = call(stdin=f"{TEXTS[0]}\n\n{TEXTS[1]}\n", model=run, top_k=3)
    assert lines.stdout == result.stdout


def test_several_masks_are_numbered(run):
    lines = call("<mask> di <mask>", model=run, top_k=1).stdout.splitlines()
    assert lines[0::2] == ["<mask> di <mask>  (mask 1)", "<mask> di <mask>  (mask 2)"] and len(lines) == 4


def test_refusals(run, tmp_path):
    for result, words in ((call("tiada", model=run), ["'tiada'", "<mask>"]),
                          (call("<mask>", cwd=tmp_path), ["--model", "bin/pretrain"]),
                          (call("<mask>", model=tmp_path), [f"--model={tmp_path}"])):
        (line,) = own_lines(result, "fill_mask")
        assert result.returncode == 2 and all(word in line for word in words) and "Traceback" not in result.stderr


def test_no_text_at_all_is_refused(run):
    result = call(stdin="\n", model=run)
    assert result.returncode == 2
    assert own_lines(result, "fill_mask") == ["no text: give it as an argument, or as lines of standard input"]


def test_the_sample_run_is_the_default(tmp_path):
    write_run(tmp_path / "runs" / "sample" / "model", make_config())
    assert call("saya <mask>", cwd=tmp_path).returncode == 0


def test_transformers_gives_the_same_probabilities(run, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")
    pipeline = transformers.pipeline("fill-mask", export("huggingface", run, str(tmp_path / "out")))
    ours = iter(candidates_of(call(*TEXTS, model=run, top_k=10).stdout))
    for text in TEXTS:
        answers = pipeline(text, top_k=10)
        for theirs in answers if isinstance(answers[0], list) else [answers]:
            pieces = pipeline.tokenizer.convert_ids_to_tokens([answer["token"] for answer in theirs])
            expected = [(pytest.approx(answer["score"], abs=1e-5), piece)
                        for answer, piece in zip(theirs, pieces, strict=True)]
            assert [candidate[:2] for candidate in next(ours)] == expected
