"""Small made-up labelled data: texts whose label a word tells, and sentences whose tags follow from their words."""

import random

from small_corpus import WORDS

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
