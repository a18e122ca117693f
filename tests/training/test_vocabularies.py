"""Records, model and first weights have one vocabulary: sizes do not show another one, hashes do."""

import dataclasses
import json
import os
import shutil

import pytest
from small_corpus import make_documents, make_tokenizer, write_documents
from trained_models import make_config, write_kinds, write_run

import albert_hvd
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.serving.export import export
from albert_hvd.serving.import_model import import_checkpoint
from albert_hvd.serving.options import FORMATS, ImportOptions
from albert_hvd.training import validate
from albert_hvd.training.options import PretrainingOptions, ValidationOptions
from albert_hvd.training.pretrain import _check
from conftest import own_lines, run_command
from pretraining_runs import flags


@dataclasses.dataclass
class Corpus:
    """Two vocabularies of 110 pieces and records of 16 positions made with each."""
    folder: object
    tokenizers: dict

    def records(self, name):
        return str(self.folder / name / "train.tfrecord")


def make_records(folder, tokenizer_path, output):
    text = write_documents(folder / "text.txt", make_documents(40))
    build(str(text), str(tokenizer_path), str(output), ExampleOptions(16, 3, dupe_factor=1), report=lambda line: None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    lines = [line[::-1] for document in make_documents(60) for line in document]
    tokenizers = {"own": make_tokenizer(folder), "other": train_tokenizer(lines, str(folder / "other"), vocab_size=110)}
    assert tokenizers["own"].vocab_size == tokenizers["other"].vocab_size == 110
    for name, tokenizer in tokenizers.items():
        make_records(folder, tokenizer.path, folder / name / "train.tfrecord")
    (folder / "config.json").write_text(json.dumps(make_config().to_dict()))
    return Corpus(folder, tokenizers)


@pytest.fixture(scope="module")
def models(tmp_path_factory, corpus):
    """One model as a run, a TF1 checkpoint and a Hugging Face folder, and as a run that has hashes alone."""
    folder = tmp_path_factory.mktemp("models")
    noted = write_run(folder / "noted", make_config(), tokenizer=False, tokenizers=[corpus.tokenizers["own"].sha256])
    return [*write_kinds(folder, make_config()), noted]


def pretraining(corpus, tmp_path, records="own", **changes):
    return PretrainingOptions(**{
        "input_file": corpus.records(records), "output_dir": str(tmp_path / "out"), "max_seq_length": 16,
        "max_predictions_per_seq": 3, "bert_config_file": str(corpus.folder / "config.json"), **changes})


def test_first_weights_of_another_vocabulary_are_refused(corpus, models, tmp_path):
    for model in models:
        _check(pretraining(corpus, tmp_path, init_checkpoint=model))
        with pytest.raises(InputError, match=f"^init_checkpoint={model}: trained with another vocabulary.*input_file="):
            _check(pretraining(corpus, tmp_path, "other", init_checkpoint=model))
    # The flag says what records without a manifest were made with.
    bare = shutil.copy(corpus.records("other"), tmp_path / "bare.tfrecord")
    options = pretraining(corpus, tmp_path, input_file=str(bare), init_checkpoint=models[0])
    _check(options)  # nothing is known of it
    with pytest.raises(InputError, match="trained with another vocabulary"):
        _check(dataclasses.replace(options, tokenizer=corpus.tokenizers["other"].path))


def test_validation_on_records_of_another_vocabulary_is_refused(corpus, models, tmp_path):
    run, *_, noted = models
    for model in (run, noted):
        options = ValidationOptions(input_file=corpus.records("own"), output_dir=str(tmp_path), init_checkpoint=model,
                                    bert_config_file=str(corpus.folder / "config.json"), max_seq_length=16,
                                    max_predictions_per_seq=3)
        validate._check(options)
        for option in ("input_file", "baseline_input_file"):
            with pytest.raises(InputError, match=f"trained with another vocabulary.* records of {option}="):
                validate._check(dataclasses.replace(options, **{option: corpus.records("other")}))


def test_text_is_not_encoded_with_another_vocabulary(corpus, models, tmp_path):
    other = corpus.tokenizers["other"].path
    for model in models:
        assert albert_hvd.load(model, corpus.tokenizers["own"].path).encode(["saya makan"]).shape == (1, 16)
        with pytest.raises(InputError, match=f"^tokenizer={other}: not the vocabulary that .* was trained with"):
            albert_hvd.load(model, other)
        for name in FORMATS:
            with pytest.raises(InputError, match=f"^tokenizer={other}: not the vocabulary"):
                export(name, model, str(tmp_path / "out"), other)
    for kind, model in zip(("tf1", "huggingface"), models[1:]):
        with pytest.raises(InputError, match=f"^tokenizer={other}: not the vocabulary"):
            import_checkpoint(ImportOptions(kind=kind, input=model, output_dir=str(tmp_path / "run"), tokenizer=other))


def test_a_vocabulary_that_was_exchanged_in_a_runs_folder_is_refused(corpus, tmp_path):
    run = write_run(tmp_path, make_config(), tokenizers=[corpus.tokenizers["own"].sha256])
    albert_hvd.load(run)
    shutil.copy(corpus.tokenizers["other"].path, tmp_path / "spiece.model")
    with pytest.raises(InputError, match=f"^{tmp_path}/spiece.model: not the vocabulary"):
        albert_hvd.load(run)
    assert albert_hvd.load(run, corpus.tokenizers["own"].path)


def test_an_import_notes_its_vocabulary(corpus, models, tmp_path):
    run = str(tmp_path / "run")
    import_checkpoint(ImportOptions(kind="huggingface", input=models[2], output_dir=run))
    os.remove(tmp_path / "run" / "spiece.model")
    with pytest.raises(InputError, match="trained with another vocabulary"):
        _check(pretraining(corpus, tmp_path, "other", init_checkpoint=run))


def test_records_of_two_vocabularies_are_refused(corpus, tmp_path):
    both = f"{corpus.records('own')},{corpus.records('other')}"
    with pytest.raises(InputError, match="^input_file=.*different vocabularies (?=.*small.model)(?=.*other.model)"):
        _check(pretraining(corpus, tmp_path, input_file=both))
    with pytest.raises(InputError, match="^eval_input_file=.*another vocabulary .*other.model.* than the records of"):
        _check(pretraining(corpus, tmp_path, eval_input_file=corpus.records("other")))


def test_more_pieces_than_the_vocabulary_has_are_told_before_the_first_step(corpus, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(make_config(vocab_size=32000).to_dict()))
    options = pretraining(corpus, tmp_path, bert_config_file=str(tmp_path / "config.json"))
    _check(options)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "vocab_size = 32000" in line and "a vocabulary of 110 pieces" in line
    _check(pretraining(corpus, tmp_path))
    assert not capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps(make_config(vocab_size=109).to_dict()))
    with pytest.raises(InputError, match="vocab_size"):
        _check(options)


def test_the_vocabulary_goes_with_the_records(corpus, tmp_path):
    """Made with a relative path, moved, and read from another working directory."""
    (tmp_path / "made").mkdir()
    shutil.copy(corpus.tokenizers["own"].path, tmp_path / "made" / "small.model")
    write_documents(tmp_path / "made" / "a.txt", make_documents(40))
    result = run_command("create_pretraining_data", cwd=tmp_path / "made", input_file="a.txt", tokenizer="small.model",
                         output_file="records/train.tfrecord@2", max_seq_length=16, max_predictions_per_seq=3)
    assert result.returncode == 0, result.stderr
    (tmp_path / "made" / "records").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "made")
    run = flags(corpus.folder, str(tmp_path / "run"), input_file=f"{tmp_path}/moved/*", num_train_steps=1,
                num_warmup_steps=0)
    result = run_command("pretrain", cwd=tmp_path, **run)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "spiece.model").read_bytes() == corpus.tokenizers["own"].model


def test_a_vocabulary_that_is_lost_is_an_error(corpus, tmp_path):
    shutil.copytree(corpus.folder / "own", tmp_path / "records")
    (copy,) = (tmp_path / "records").glob("*.model")
    assert Tokenizer.from_file(str(copy)).sha256 == corpus.tokenizers["own"].sha256
    copy.unlink()
    options = pretraining(corpus, tmp_path, input_file=f"{tmp_path}/records/train.tfrecord")
    _check(options)  # the manifest's path is absolute
    manifest = tmp_path / "records" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("small.model", "gone.model"))
    with pytest.raises(InputError, match="^input_file=.*vocabulary that made these records .*gone.model.*tokenizer"):
        _check(options)
    _check(dataclasses.replace(options, tokenizer=corpus.tokenizers["own"].path))
    shutil.copy(corpus.tokenizers["own"].path, tmp_path / "out" / "spiece.model")
    _check(options)  # the run has kept it


def test_a_run_goes_on_with_its_vocabulary(corpus, tmp_path):
    """Of records without a manifest the flag alone says it."""
    bare = shutil.copy(corpus.records("own"), tmp_path / "bare.tfrecord")
    run = write_run(tmp_path / "run", make_config(), tokenizers=[])
    options = pretraining(corpus, tmp_path, input_file=str(bare), output_dir=run)
    _check(dataclasses.replace(options, tokenizer=corpus.tokenizers["own"].path))
    with pytest.raises(InputError, match="^tokenizer=.*not the vocabulary that the run in output_dir="):
        _check(dataclasses.replace(options, tokenizer=corpus.tokenizers["other"].path))


def test_one_line_at_the_command_line(corpus, models, tmp_path):
    run = flags(corpus.folder, str(tmp_path / "run"), input_file=corpus.records("other"))
    result = run_command("pretrain", **run, init_checkpoint=models[0])
    (line,) = own_lines(result, "pretrain")
    assert result.returncode == 2 and line.startswith(f"--init_checkpoint={models[0]}: trained with another vocabulary")
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()
    other = corpus.tokenizers["other"].path
    result = run_command("fill_mask", words=["saya <mask>"], model=models[0], tokenizer=other)
    (line,) = own_lines(result, "fill_mask")
    assert result.returncode == 2 and line.startswith(f"--tokenizer={other}: not the vocabulary")
