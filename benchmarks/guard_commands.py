"""The guard's ratios of commands: records against SentencePiece, and what users do with a model against Hugging Face.

They are of the shipped sample and of the shipped model, so that they need no other files; texts are few, so single
ratios move by a tenth. How long each takes on a user's texts is what the benchmarks of the same names are for.
"""

import glob
import os

from albert_hvd import sample
from benchmarks import data, encode, fill_mask, finetune, predict
from benchmarks.shipped_model import MODEL, vocabulary, write_classifier

TEXTS = os.path.join(os.path.dirname(sample.__file__), "texts", "*.txt")
_SIZE_MB = 20  # of repeated text, beside which starting is little


def records_ratio(command_folder):
    """{name: ratio}: processor time of SentencePiece to that of making records of the same text, once each."""
    options = data.Options(input_file=TEXTS, tokenizer=vocabulary(), dupe_factor=1, num_workers=2, repeats=1,
                           sizes=str(_SIZE_MB))
    rows = {row["what"]: row["MB/CPU-s net"] for row in data.run(options, command_folder).rows[1:]}
    alone = rows.pop("SentencePiece alone, 1 thread")
    return {"records : SentencePiece alone, MB per CPU second": next(iter(rows.values())) / alone}


def peer_ratios(options, folder):
    """{name: ratio of texts/s}: this program to `options.peer`; their options are those of `text_contest`.

    Raises: InputError when the peer lacks a package.
    """
    task = os.path.join(folder, "task")
    write_classifier(task)
    shared = {"peer": options.peer, "peer_python": options.peer_python, "rounds": options.rounds, "max_texts": 256}
    labelled = os.path.join(folder, "labelled.tsv")
    _write_labelled(labelled)
    reports = {
        "encode": encode.run(encode.Options(model=MODEL, input_file=TEXTS, **shared), None),
        "fill_mask": fill_mask.run(fill_mask.Options(model=MODEL, input_file=TEXTS, **shared), None),
        "predict": predict.run(predict.Options(model=task, input_file=TEXTS, **shared), None),
        "finetune": finetune.run(finetune.Options(model=MODEL, task="classification", train_file=labelled, **shared), None)}
    return {f"{name} : Hugging Face, texts/s": report.rows[0]["texts/s"] / report.rows[1]["texts/s"]
            for name, report in reports.items()}


def _write_labelled(path):
    """Lines of the sample, and which file each is of."""
    with open(path, "w", encoding="utf-8") as file:
        for text in sorted(glob.glob(TEXTS)):
            with open(text, encoding="utf-8") as lines:
                label = os.path.basename(text).partition(".")[0]
                file.writelines(f"{label}\t{line}" for line in lines if line.strip())
