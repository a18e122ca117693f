"""Text for measuring, of any size and without duplicates."""

import numpy as np
from small_corpus import make_documents

from albert_hvd.data.text.preprocess import CleaningOptions, preprocess
from benchmarks.repeated_text import repeat


def test_no_document_comes_twice(tmp_path):
    documents = make_documents(150, 1)
    num_bytes = 6 * sum(len(line) + 1 for document in documents for line in document)
    texts = list(repeat(documents, num_bytes))
    assert texts == list(repeat(documents, num_bytes)) and len(texts) > 5 * len(documents)
    size = sum(len(text) + 1 for text in texts)
    assert num_bytes <= size < num_bytes + len(texts[-1]) + 1
    (tmp_path / "a.txt").write_text("\n".join(texts))
    counts = preprocess(str(tmp_path / "a.txt"), str(tmp_path / "out.txt"), CleaningOptions(), report=lambda line: None)
    assert counts["documents_out"] == len(texts)
    # The first copy is as it was, the others have as many words and lines; of longer ones about 30 % are changed.
    assert texts[:150] == [f"{number} " + "".join(f"{line}\n" for line in document)
                           for number, document in enumerate(documents)]
    shares = []
    for first, second in zip(texts, texts[150:300]):
        assert first.count("\n") == second.count("\n")
        words, others = first.split()[1:], second.split()[1:]
        assert len(words) == len(others)
        shares += [word != other for word, other in zip(words, others)]
    assert 0.2 < np.mean(shares) < 0.35
