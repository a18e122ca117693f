"""The figures that the old project published for its models, as it published them.

Source: https://github.com/huseinzol05/malaya/tree/38374fc780/pretrained-model/albert-brightmart, the bar plots of
its README and the notebooks beside it, which print the macro-F1.
"""

import dataclasses

SOURCE = "README, bar plots and notebooks of ALBERT-brightmart-Bahasa (huseinzol05/malaya, commit 38374fc780)"

# Task -> why its published figures cannot be compared with ours.
REASONS = {
    "emotion": "The published figures were measured on a random fifth of other data, most of it tweets labelled by "
               "word lists, duplicates left in.",
    "pos": "The published figures were measured on another split, and count padding and the later pieces of words as "
           "words; of ALBERT base's right answers about 0.923 remain per word.",
}


@dataclasses.dataclass(frozen=True)
class Published:
    """A published result: accuracy, and macro-F1 where it is known."""

    name: str
    accuracy: float
    macro_f1: float | None = None


FIGURES = {
    "emotion": (Published("tf-idf", 0.77725), Published("BERT", 0.86970), Published("XLNet", 0.87029),
                Published("ALBERT base", 0.86506, 0.848), Published("ALBERT large", 0.86866)),
    "pos": (Published("crfsuite", 0.91810), Published("BERT", 0.95174), Published("ALBERT base", 0.95280)),
}
