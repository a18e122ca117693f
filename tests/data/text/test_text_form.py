"""The form of texts that an uncased vocabulary wants, and the files that ask for it."""

import json
import pickle

import pytest
from small_corpus import make_documents

from albert_hvd.data.text.masked_text import MaskedTextTokenizer
from albert_hvd.data.text.text_form import TextForm, form_beside, form_of_dict
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import train_tokenizer

UNCASED = TextForm(do_lower_case=True, keep_accents=False, straight_quotes=True)


@pytest.mark.parametrize("form, text, expected", [
    (TextForm(), "``Saya'' Café İ ΣΑΣ ﬁ", "``Saya'' Café İ ΣΑΣ ﬁ"),
    (UNCASED, "``Saya'' Café İ ΣΑΣ ﬁ", '"saya" cafe i σασ fi'),
    (TextForm(do_lower_case=True), "SAYA Café ''", "saya café ''"),
    (TextForm(keep_accents=False), "SAYA Café e\u0301", "SAYA Cafe e")])
def test_what_becomes_of_a_text(form, text, expected):
    assert form.apply(text) == expected


FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}


def normalizer(*types):
    return {"normalizer": {"type": "Sequence", "normalizers": [{"type": name} for name in types]}}


@pytest.mark.parametrize("files, form", [
    ({}, None),
    ({"config.json": {"hidden_size": 4}}, None),
    ({"config.json": {"model_type": "albert"}}, UNCASED),  # transformers' default
    ({"tokenizer_config.json": {"model_max_length": 512}}, UNCASED),
    ({"tokenizer_config.json": {"do_lower_case": True, "tokenizer_class": "AlbertTokenizer"}}, UNCASED),
    ({"tokenizer_config.json": {"do_lower_case": False}}, TextForm(False, False, True)),
    ({"tokenizer_config.json": {"do_lower_case": False, "keep_accents": True}}, TextForm(False, True, True)),
    ({"tokenizer_config.json": {"keep_accents": True}}, TextForm(True, True, True)),
    ({"tokenizer_config.json": TextForm().to_dict()}, TextForm()),  # our own
    ({"tokenizer_config.json": {**FAST, **UNCASED.to_dict()}}, UNCASED),
    ({"tokenizer_config.json": FAST}, TextForm()),
    ({"tokenizer_config.json": FAST, "config.json": {"model_type": "albert"}}, TextForm()),
    ({"tokenizer_config.json": FAST, "tokenizer.json": normalizer("NFKD", "StripAccents", "Lowercase")},
     TextForm(True, False)),
    ({"tokenizer_config.json": FAST, "tokenizer.json": {"normalizer": {"type": "Lowercase"}}}, TextForm(True)),
    ({"tokenizer_config.json": FAST, "tokenizer.json": {"normalizer": None}}, TextForm())])
def test_what_a_folder_asks_for(tmp_path, files, form):
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    if "tokenizer_config.json" not in files:  # whose vocabulary lies elsewhere says nothing of it
        assert form_beside(str(tmp_path / "spiece.model")) is None
    (tmp_path / "spiece.model").touch()
    assert form_beside(str(tmp_path / "spiece.model")) == form


@pytest.fixture(scope="module")
def uncased(tmp_path_factory):
    lines = [line.lower() for document in make_documents(60) for line in document]
    return train_tokenizer(lines, str(tmp_path_factory.mktemp("uncased") / "small"), vocab_size=110)


def test_a_vocabulary_takes_the_form_from_its_folder(uncased, tmp_path):
    (tmp_path / "spiece.model").write_bytes(uncased.model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
    tokenizer = Tokenizer.from_file(str(tmp_path / "spiece.model"))
    plain = uncased.encode_lines(["saya makan di malaysia"])[0]
    for own in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        assert own.encode_lines(["Saya MAKAN di Málaysia"])[0].tolist() == plain.tolist()
    assert uncased.unk_id in uncased.encode_lines(["Saya MAKAN"])[0]


def test_masked_text_is_in_the_form_too(uncased):
    texts = MaskedTextTokenizer(uncased.with_text_form(UNCASED))
    written = ["Saya <mask> DI", "Saya <mask>KAN", "<mask>KAN Rumah"]
    plain = texts.encode_lines([text.lower() for text in written])
    for ids, expected in zip(texts.encode_lines(written), plain, strict=True):
        assert ids.tolist() == expected.tolist() and uncased.unk_id not in ids



def test_the_files_of_a_vocabulary_give_it_again(uncased, tmp_path):
    for form in (TextForm(), UNCASED):
        tokenizer = uncased.with_text_form(form)
        files = tokenizer.files("spiece.model", say_form=True)
        assert form_of_dict(json.loads(files["tokenizer_config.json"])) == form
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        assert Tokenizer.from_file(str(tmp_path / "spiece.model")).text_form == form
        assert ("tokenizer_config.json" in tokenizer.files("spiece.model")) == (form == UNCASED)
