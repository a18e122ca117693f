"""Small made-up labelled data: texts whose label a word tells, and sentences whose tags follow from their words.

And a task model of random weights, with rows for it.
"""

import random

import numpy as np
from small_corpus import WORDS

TASK_LABELS = ["a", "b", "c"]

_SIGNS = {"marah": "baka", "sedih": "tulis", "gembira": "guna"}
_NOUNS = {"rumah", "sekolah", "buku", "hujan", "kereta", "bola", "rakan"}


def labelled_texts(number, seed=0):
    """[(label, text)]: a word of the label's own stands somewhere in the text."""
    luck = random.Random(seed)
    texts = []
    for _ in range(number):
        label = luck.choice(sorted(_SIGNS))
        words = luck.choices(WORDS[:30], k=luck.randint(2, 9))
        words.insert(luck.randint(0, len(words)), luck.choice(["ber", "me", "pe"]) + _SIGNS[label])
        texts.append((label, " ".join(words)))
    return texts


def tagged_sentences(number, seed=0, longest=9):
    """[[(word, tag)]] with the tags NOUN, VERB and X."""
    luck = random.Random(seed)
    return [[(word, "NOUN" if word in _NOUNS else "VERB" if word.startswith(("ber", "me")) else "X")
             for word in luck.choices(WORDS, k=luck.randint(1, longest))] for _ in range(number)]


def write_tsv(path, texts):
    path.write_text("".join(f"{label}\t{text}\n" for label, text in texts), encoding="utf-8")
    return str(path)


def write_conll(path, sentences):
    path.write_text("\n".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in sentences),
                    encoding="utf-8")
    return str(path)


def make_task_model(config, name, head="linear", seed=3, **choices):
    """(`TaskModel`, `Task`) with a head of large weights."""
    from albert_hvd.finetuning.task_model import TaskModel  # imports TensorFlow
    from albert_hvd.finetuning.tasks import task_class
    from albert_hvd.model.encoder import named_variables

    task = task_class(name)(TASK_LABELS, head, max_seq_length=16, **choices)
    model = TaskModel(config, task, seed)
    numbers = np.random.default_rng(seed)
    for path, variable in named_variables(model).items():
        if path.startswith("head/"):
            variable.assign(numbers.normal(0, 1, variable.shape))
    return model, task


def make_task_rows(one_slot, seed=0):
    """Seven rows of 3 to 16 pieces; the last two belong to one example."""
    from albert_hvd.finetuning.encoding import Rows

    numbers = np.random.default_rng(seed)
    ids = [np.int32([3, *numbers.integers(5, 50, n), 4]) for n in (1, 14, 5, 5, 9, 14, 3)]
    positions = [np.zeros(1, np.int32) if one_slot else
                 np.sort(numbers.choice(len(i) - 2, min(3, len(i) - 2), False) + 1).astype(np.int32) for i in ids]
    example = np.array([0, 1, 2, 3, 4, 5, 5])
    counts = np.array([len(p) for p in positions])
    first = example if one_slot else np.concatenate([[0], np.cumsum(counts)[:-1]])
    slots = np.ones(6, np.int64) if one_slot else np.bincount(example, counts).astype(np.int64)
    return Rows(ids, positions, first, example, slots, 16, 1, 0)
