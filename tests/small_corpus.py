"""Small made-up text and a vocabulary for the data tests: quick, and the same on every machine."""

import random

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import train_tokenizer

WORDS = ("saya kami mereka dia makan minum pergi balik rumah sekolah kanak-kanak buku besar kecil cantik hujan pagi "
         "petang malam kereta jalan berlari membaca menulis pertandingan kejohanan kebangsaan Malaysia Selangor "
         "bermain bola sepak dengan rakan di padang yang luas kerana cuaca baik sekali walaupun penat").split()
WORDS += [a + b + c for a in ("ber", "me", "pe", "ter") for b in ("baka", "lari", "tulis", "guna", "satu", "duga")
          for c in ("", "kan", "an", "nya")]


def make_documents(number, seed=0, most_sentences=12, most_words=25):
    """Documents as lists of sentences; every fifth is a single one."""
    luck = random.Random(seed)
    return [[" ".join(luck.choices(WORDS, k=luck.randint(1, most_words))) + "."
             for _ in range(1 if i % 5 == 0 else luck.randint(1, most_sentences))] for i in range(number)]


def write_documents(path, documents):
    path.write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")
    return path


def make_tokenizer(folder) -> Tokenizer:
    lines = [line for document in make_documents(60) for line in document]
    return train_tokenizer(lines, str(folder / "small"), vocab_size=110)
