"""transformers loads fine-tuned models that we export, and its pipelines give our probabilities; and the other way."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpus import WORDS
from task_folders import LABELS, write_task_folder
from trained_models import make_config

import albert_hvd
from albert_hvd.finetuning.encoding import longest_first
from albert_hvd.finetuning.task_export import export_task
from albert_hvd.finetuning.task_import import import_with_head
from albert_hvd.serving.options import ExportOptions, ImportOptions

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")

TEXTS = ["saya makan di rumah", "mereka ke sekolah", "kanak-kanak bermain bola di padang yang luas sekali kerana cuaca",
         "dia", "Saya (suka) 3.50 buku , teh!"]
_SOME_WORDS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)
PAIRS = [*zip(TEXTS, TEXTS[1:]), (TEXTS[2], TEXTS[2]), (TEXTS[3], TEXTS[2])]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function from a task to (its folder, the folder that it was exported to)."""
    folders = {}

    def of(name, **choices):
        if name not in folders:
            base = tmp_path_factory.mktemp(name)
            folder = write_task_folder(base, name, long_texts="truncate", pooling="first", **choices)
            folders[name] = folder, export_task(ExportOptions(format="huggingface", model=folder,
                                                              output_dir=str(base / "out")))
        return folders[name]
    return of


def test_probabilities_of_texts(made):
    folder, exported = made("emotion")
    classify = transformers.pipeline("text-classification", exported, top_k=None)
    for record, theirs in zip(albert_hvd.load(folder).predict(TEXTS), classify(TEXTS, truncation=True), strict=True):
        assert {one["label"]: one["score"] for one in theirs} == pytest.approx(record["probabilities"], abs=1e-5)
        assert theirs[0]["label"] == record["label"]


def test_probabilities_of_pairs(made):
    folder, exported = made("pair_classification")
    classify = transformers.pipeline("text-classification", exported, top_k=None)
    for pair, record in zip(PAIRS, albert_hvd.load(folder).predict(PAIRS), strict=True):
        theirs = classify({"text": pair[0], "text_pair": pair[1]}, truncation=True)
        theirs = theirs[0] if isinstance(theirs[0], list) else theirs
        assert {one["label"]: one["score"] for one in theirs} == pytest.approx(record["probabilities"], abs=1e-5)


@pytest.mark.parametrize("name", ["regression", "pair_regression"])
def test_values(made, name):
    folder, exported = made(name)
    inputs = PAIRS if name == "pair_regression" else TEXTS
    score = transformers.pipeline("text-classification", exported)
    for one, record in zip(inputs, albert_hvd.load(folder).predict(inputs), strict=True):
        theirs = score({"text": one[0], "text_pair": one[1]} if name == "pair_regression" else one, truncation=True)
        theirs = theirs[0] if isinstance(theirs, list) else theirs
        assert theirs["score"] == pytest.approx(record["score"], abs=1e-5)


def test_tags_are_those_of_first_pieces(made):
    folder, exported = made("tagging", labels=["O", "B-LOC", "I-LOC"], max_seq_length=48)
    tag = transformers.pipeline("token-classification", exported, ignore_labels=[], aggregation_strategy="first")
    pieces = transformers.pipeline("token-classification", exported, ignore_labels=[])
    predictor = albert_hvd.load(folder)
    for text in TEXTS[:4]:
        record, = predictor.predict([text])
        rows = predictor._task.encode([tuple(text.split())], predictor._tokenizer)
        ours = predictor._scorer(rows).probabilities
        theirs = pieces(text)
        firsts = [one for one in theirs if one["index"] in rows.positions[0]]
        assert [one["entity"] for one in firsts] == record["tags"]
        assert [one["score"] for one in firsts] == pytest.approx(ours.max(axis=1), abs=1e-5)
        # Its groups are words with the tag of the first piece, neighbours of one type put together.
        groups = [group["entity_group"] for group in tag(text)]
        assert set(groups) <= {"O", "LOC"} and len(groups) <= len(record["words"])


@pytest.mark.parametrize("name, labels", [
    ("AlbertForSequenceClassification", 3), ("AlbertForSequenceClassification", 1),
    ("AlbertForTokenClassification", 3)])
def test_what_transformers_trained_is_read(made, tmp_path, name, labels):
    _, exported = made("emotion")
    config = transformers.AutoConfig.from_pretrained(exported, num_labels=labels, task_specific_params=None,
                                                     problem_type=None)
    torch.manual_seed(1)
    theirs = getattr(transformers, name)(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    (tmp_path / "theirs" / "spiece.model").write_bytes(open(f"{exported}/spiece.model", "rb").read())
    import_with_head(ImportOptions(kind="huggingface", input=str(tmp_path / "theirs"),
                                   output_dir=str(tmp_path / "ours")))
    ours = albert_hvd.load(str(tmp_path / "ours"))
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**batch).logits[0]
    record, = ours.predict([TEXTS[0]])
    if labels == 1:
        assert record["score"] == pytest.approx(float(logits[0]), abs=1e-5)
    elif name == "AlbertForSequenceClassification":
        assert list(record["probabilities"].values()) == pytest.approx(torch.softmax(logits, -1).tolist(), abs=1e-5)
    else:
        rows = ours._task.encode([tuple(TEXTS[0].split())], ours._tokenizer)
        assert list(rows.input_ids[0]) == batch["input_ids"][0].tolist()
        np.testing.assert_allclose(ours._scorer(rows).probabilities,
                                   torch.softmax(logits, -1).numpy()[rows.positions[0]], atol=1e-5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_SOME_WORDS, second=_SOME_WORDS, max_length=st.integers(5, 30))
def test_pairs_are_cut_as_their_tokenizers_cut_them(made, first, second, max_length):
    _, exported = made("pair_classification")
    tokenizer = _tokenizer(exported)
    texts = " ".join(first), " ".join(second)
    full = [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    cut = tokenizer(*texts, truncation="longest_first", max_length=max_length)
    kept = longest_first(*full, max_length - 3)
    assert sum(cut["token_type_ids"]) == kept[1] + 1 and len(cut["input_ids"]) == sum(kept) + 3


_tokenizers = {}


def _tokenizer(folder):
    if folder not in _tokenizers:
        _tokenizers[folder] = transformers.AutoTokenizer.from_pretrained(folder)
    return _tokenizers[folder]


def test_labels_are_the_configs(made):
    _, exported = made("emotion")
    config = transformers.AutoConfig.from_pretrained(exported)
    assert list(config.id2label.values()) == LABELS and config.vocab_size == make_config().vocab_size
