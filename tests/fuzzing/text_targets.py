"""Targets that read people's text: labelled data, raw documents in all formats, lines of a stream."""

import bz2
import collections
import functools
import gzip
import io
import json
import lzma

import sentencepiece
import zstandard
from fuzz_target import Target
from json_targets import write_file
from mutations import mutate_bytes, mutate_json, mutate_json_lines
from small_corpus import make_documents
from small_tasks import labelled_texts, tagged_sentences

from albert_hvd.data.text import duplicates
from albert_hvd.data.text.documents import COMPRESSED, FORMATS, read_documents
from albert_hvd.data.text.preprocess import CleaningOptions, clean_document
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import CONTROL_SYMBOLS, USER_DEFINED_SYMBOLS
from albert_hvd.finetuning.encoding import LONG_TEXTS, encode_sentences, encode_texts
from albert_hvd.finetuning.prediction import batches_of_lines
from albert_hvd.finetuning.labelled_data import read_sentences, read_texts
from albert_hvd.finetuning.task_data import read_labels

_LONG_CHARACTERS = 200_000


@functools.cache
def small_model():
    """The bytes of a vocabulary without a character map, which would be most of it."""
    model = io.BytesIO()
    lines = [line for document in make_documents(60) for line in document]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=80, normalization_rule_name="identity",
        control_symbols=list(CONTROL_SYMBOLS), user_defined_symbols=list(USER_DEFINED_SYMBOLS), minloglevel=2)
    return model.getvalue()


@functools.cache
def _tokenizer():
    return Tokenizer(small_model())


def _encode(examples):
    encode = encode_texts if isinstance(examples[0].inputs, str) else encode_sentences
    for long_texts in LONG_TEXTS:
        rows = encode([example.inputs for example in examples], _tokenizer(), 8, long_texts)
        assert all(2 <= length <= 8 for length in rows.lengths)
        assert len(rows.positions) == len(rows.first_slot) and rows.num_slots.sum() >= len(examples)
    json.dumps([[example.inputs, example.labels] for example in examples], ensure_ascii=False).encode()


def _labelled_tsv(data, folder):
    _encode(read_texts(write_file(folder, "a.tsv", data), "train_file"))


def _labelled_csv(data, folder):
    _encode(read_texts(write_file(folder, "a.csv", data), "train_file"))


def _labelled_jsonl(data, folder):
    _encode(read_texts(write_file(folder, "a.jsonl", data), "train_file"))


def _tagged_jsonl(data, folder):
    _encode(read_sentences(write_file(folder, "b.jsonl", data), "train_file"))


def _conll(data, folder):
    _encode(read_sentences(write_file(folder, "a.conll", data), "train_file"))


def _labels(data, folder):
    labels = read_labels(write_file(folder, "labels.txt", data), None)
    assert all(label == label.strip() != "" for label in labels)


def _stream(data, folder):
    lines = [line for batch in batches_of_lines(io.BytesIO(data)) for line in batch]
    assert "\n".join(lines).encode().replace(b"\r", b"") == data.removeprefix(b"\xef\xbb\xbf").removesuffix(
        b"\n").replace(b"\r", b"")


def _documents(data, folder):
    """The first byte says which ending the file of the others has, the second which encoding."""
    endings = [form + packed for packed in ("", *COMPRESSED) for form in FORMATS]
    path = write_file(folder, f"a{endings[data[0] % len(endings)] if data else '.txt'}", data[2:])
    encoding = ("utf-8", "utf-8", "cp1252", "utf-16")[data[1] % 4 if len(data) > 1 else 0]
    counts = collections.Counter()
    for lines in read_documents(path, "text", encoding):
        assert lines and all(isinstance(line, str) and line.strip() for line in lines)
        _check_clean(clean_document(lines, _OPTIONS, counts))


_OPTIONS = CleaningOptions()


def _check_clean(sentences):
    for sentence in sentences:
        assert sentence.strip() == sentence and "\n" not in sentence and sentence.encode()
    duplicates.exact_key(sentences)


def _cleaning(data, folder):
    _check_clean(clean_document(data.decode("utf-8", "surrogateescape").split("\n"), _OPTIONS, collections.Counter()))


def _cleaning_long(data, folder):
    """A long line of one thing over and over, which takes for ever where time grows with the square of it."""
    text = data.decode("utf-8", "replace")[:64]
    if text:
        clean_document([text * (_LONG_CHARACTERS // len(text))], _OPTIONS, collections.Counter())


def _document_seeds(folder):
    text = "\n\n".join("\n".join(document) for document in make_documents(2)).encode()
    jsonl = b"".join(json.dumps({"text": line}).encode() + b"\n" for line in text.decode().split("\n") if line)
    json_array = b"[" + b",".join(jsonl.splitlines()) + b"]"
    csv = b"id,text\n1,\"saya, dia\"\n2,makan\n"
    plain = [text, json_array, jsonl, csv, csv.replace(b",", b"\t")]
    compress = (bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.ZstdCompressor().compress)
    return [bytes([number]) + b"\0" + pack(content) for number, (pack, content) in enumerate(
        (pack, content) for pack in compress for content in plain)]


def _mutate_document(data, random):
    mutate = {1: mutate_json, 2: mutate_json_lines}.get(data[0] if data else 0, mutate_bytes)
    return data[:2] + mutate(data[2:], random) if random.random() < 0.9 else mutate_bytes(data, random)


def _tsv():
    return "".join(f"{label}\t{text}\n" for label, text in labelled_texts(5)).encode()


def _quoted_csv():
    return b"label,text\n" + _tsv().replace(b"\t", b',"').replace(b"\n", b'"\n')


def _conll_text():
    return "\n".join("".join(f"{word}\t{tag}\n" for word, tag in one) for one in tagged_sentences(4)).encode()


_JSON_TEXTS = b"".join(json.dumps({"label": label, "text": text}).encode() + b"\n" for label, text in labelled_texts(4))
_JSON_SENTENCES = b"".join(json.dumps({"words": [word for word, _ in one], "tags": [tag for _, tag in one]}).encode()
                           + b"\n" for one in tagged_sentences(4))
_CONLLU = b"# text = saya\n1\tsaya\t_\tPRON\t_\t_\t0\t_\t_\t_\n1-2\tx\t_\tX\t_\t_\t_\t_\t_\t_\n\n"
_CONLLU_PLUS = b"# global.columns = ID FORM UPOS\n#\tx\n1\tsaya\tPRON\n2\tmakan\tVERB\n\n-DOCSTART-\tO\tO\n"
_LINE = ("Saya <b>suka</b> nasi lemak!!! &amp; teh tarik @kawan https://contoh.com/a?b a.b@c.my contoh (dot) com "
         "=====  bestttt â€œya” Dr. Ali hlm. 5. <script>x</script> <!-- y --> 😀😀😀😀 ﷺ").encode()

TARGETS = (
    Target("labelled_tsv", _labelled_tsv, lambda folder: [_tsv()], share=0.5),
    Target("labelled_csv", _labelled_csv, lambda folder: [_quoted_csv(), b"id;text;label\n1;saya;a\n2;dia;b\n"],
           share=0.5),
    Target("labelled_jsonl", _labelled_jsonl, lambda folder: [_JSON_TEXTS], mutate=mutate_json_lines, share=0.5),
    Target("tagged_jsonl", _tagged_jsonl, lambda folder: [_JSON_SENTENCES], mutate=mutate_json_lines, share=0.3),
    Target("conll", _conll, lambda folder: [_CONLLU, _CONLLU_PLUS, _conll_text()], share=0.5),
    Target("labels_file", _labels, lambda folder: [b"a\nb\n"]),
    Target("stream_of_lines", _stream, lambda folder: [b"saya\nmakan\r\n\nnasi"], share=4),
    Target("documents", _documents, _document_seeds, mutate=_mutate_document, share=0.05),
    Target("cleaning", _cleaning, lambda folder: [_LINE, b"&#65;&#x41;&lt;"], share=0.05),
    Target("cleaning_long", _cleaning_long, lambda folder: [b"a.", b"!?", b"<script>", b"<!--", b"a@", b"a-", b"saya "],
           share=0.0005),
)
