"""transformers loads what we export, and gives our token ids and our logits."""

import numpy as np
import pytest
from conftest import SHARED
from huggingface_folders import export
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_documents, make_tokenizer

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.serving.formats.huggingface.weights import read_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")

OLD_VOCABULARY = SHARED / "data" / "tokenizer" / "sp10m.cased.v8.model"
TEXTS = SHARED / "data" / "pretrain" / "valid"
WORDS = ["saya makan", "Saya", "kanak-kanak", "1,000", "2,", "RM1.50", "(a)", "...", "  ", "\t", "\u00a0", "\u200b",
         "سلامت ڤاڬي", "😀", "👨\u200d👩\u200d👧", "🇲🇾", "é", "e\u0301", "Ｆ", "½", "#tag", "@ali", "\"'",
         "–£€", "<eop>", "▁", "?!"]


@pytest.fixture(scope="module", params=["small", "old"])
def folder(request, tmp_path_factory):
    """(exported folder, the source, its vocabulary)."""
    base = tmp_path_factory.mktemp(request.param)
    if request.param == "small":
        make_tokenizer(base)
        path = base / "small.model"
    elif OLD_VOCABULARY.exists():
        path = OLD_VOCABULARY
    else:
        pytest.skip("the old project's vocabulary is not on this machine (../shared/data/tokenizer)")
    tokenizer = Tokenizer.from_file(str(path))
    source = export(path, base / "out", tokenizer.vocab_size)
    return str(base / "out"), source, tokenizer


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.AutoTokenizer.from_pretrained(folder[0])


def real_lines(number):
    """Every n-th line of all held-out files, or made-up lines."""
    if not TEXTS.is_dir():
        return [line for document in make_documents(200) for line in document][:number]
    lines = [line for path in sorted(TEXTS.glob("*.txt")) for line in path.read_text("utf-8").split("\n") if line]
    return lines[::len(lines) // number][:number]


def test_ids_of_real_lines_are_equal(folder, theirs):
    lines = real_lines(1000)
    ours = [list(ids) for ids in folder[2].encode_lines(lines)]
    assert theirs(lines, add_special_tokens=False)["input_ids"] == ours


@settings(max_examples=300, deadline=None, derandomize=True)
@given(words=st.lists(st.sampled_from(WORDS), max_size=12), glue=st.sampled_from(["", " ", ", "]))
def test_ids_of_odd_text_are_equal(folder, theirs, words, glue):
    text = glue.join(words)
    assert theirs(text, add_special_tokens=False)["input_ids"] == list(folder[2].encode_lines([text])[0])


def test_special_tokens_and_segments(folder, theirs):
    tokenizer = folder[2]
    a, b = (list(ids) for ids in tokenizer.encode_lines(["saya makan", "di rumah"]))
    both = theirs("saya makan", "di rumah")
    assert both["input_ids"] == [tokenizer.cls_id, *a, tokenizer.sep_id, *b, tokenizer.sep_id]
    assert both["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert (theirs.mask_token, theirs.pad_token_id, theirs.mask_token_id, theirs.unk_token_id) == (
        "<mask>", tokenizer.pad_id, tokenizer.mask_id, tokenizer.unk_id)
    assert theirs("saya <mask> makan", add_special_tokens=False)["input_ids"] == [
        *tokenizer.encode_lines(["saya"])[0], tokenizer.mask_id, *tokenizer.encode_lines(["makan"])[0]]
    assert theirs.decode(a, skip_special_tokens=True) == "saya makan"


def our_logits(source, batch):
    import tensorflow as tf

    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer

    model = AlbertPretrainer(source.config)
    for path, variable in named_variables(model).items():
        variable.assign(source.arrays[path])
    ids, mask, segments = (tf.constant(batch[name].numpy().astype(np.int32))
                           for name in ("input_ids", "attention_mask", "token_type_ids"))
    sequence_output, pooled_output = model.encoder(ids, mask, segments)
    logits = model.masked_lm_logits(tf.reshape(sequence_output, [-1, source.config.hidden_size]))
    return tf.reshape(logits, [*ids.shape, -1]).numpy(), model.sentence_logits(pooled_output)[:, 0].numpy()


def test_logits_are_equal_with_padding(folder, theirs):
    path, source, _ = folder
    batch = theirs(real_lines(8), ["saya makan nasi", "ya"] * 4, padding=True, truncation="longest_first",
                   max_length=64, return_tensors="pt")
    assert (batch["attention_mask"] == 0).any()
    masked_lm, sentence = our_logits(source, batch)
    real = batch["attention_mask"].numpy() > 0
    with torch.no_grad():
        both = transformers.AutoModelForPreTraining.from_pretrained(path).eval()(**batch)
        one = transformers.AutoModelForMaskedLM.from_pretrained(path).eval()(**batch)
    np.testing.assert_allclose(both.prediction_logits.numpy()[real], masked_lm[real], atol=1e-5)
    np.testing.assert_allclose(one.logits.numpy()[real], masked_lm[real], atol=1e-5)
    np.testing.assert_allclose(both.sop_logits.numpy(), sentence, atol=1e-5)


def test_the_fill_mask_pipeline_works(folder):
    answers = transformers.pipeline("fill-mask", folder[0])("Kuala Lumpur ialah ibu <mask> Malaysia", top_k=3)
    assert len(answers) == 3 and answers[0]["score"] >= answers[1]["score"] >= answers[2]["score"] > 0


@pytest.mark.parametrize("name", ["AlbertModel", "AlbertForMaskedLM", "AlbertForPreTraining"])
def test_what_transformers_saves_is_read(folder, tmp_path, name):
    path, source, _ = folder
    model = getattr(transformers, name).from_pretrained(path)
    model.save_pretrained(tmp_path)
    back = read_weights(str(tmp_path), source.config)
    assert all(np.array_equal(back[key], source.arrays[key]) for key in back)
    lacking = {"AlbertModel": ("masked_lm_head", "sentence_head"), "AlbertForPreTraining": ("-",),
               "AlbertForMaskedLM": ("encoder/pooler", "sentence_head")}[name]
    assert back.keys() == {key for key in source.arrays if not key.startswith(lacking)}
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert read_weights(str(tmp_path), source.config).keys() == back.keys()


def test_a_pickle_with_code_is_refused(folder, tmp_path):
    import os

    from albert_hvd.errors import InputError

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"a": Hostile()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="not a file of tensors alone"):
        read_weights(str(tmp_path), folder[1].config)
    assert not (tmp_path / "ran").exists()
