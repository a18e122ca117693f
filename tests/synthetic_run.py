"""The folder of a run without the run: logs and settings with figures that are easy to check."""

import json

FLAGS = {"train_batch_size": 12, "max_seq_length": 16, "num_train_steps": 40, "size": 2, "micro_batch_size": 3,
         "precision": "float32", "learning_rate": 0.001, "input_file": "train-*.tfrecord"}


def record(step, loss=4.0, **changes):
    """A line of `train_log.jsonl`: 80 % of the tokens are real, and a step takes a second."""
    return {"step": step, "loss": loss, "masked_lm_loss": loss - 0.7, "sentence_loss": 0.7,
            "masked_lm_accuracy": step / 100, "sentence_accuracy": 0.5, "learning_rate": 0.001, "grad_norm": 1.5,
            "sequences_per_sec": 12.0, "tokens_per_sec": 192.0, "real_tokens_per_sec": 153.6,
            "data_wait_fraction": 0.25, "elapsed_sec": float(step), **changes}


def held_out_record(step, loss):
    """A line of `eval_log.jsonl`."""
    return {"step": step, "loss": loss, "masked_lm_loss": loss - 0.6, "masked_lm_accuracy": 0.125,
            "next_sentence_loss": 0.6, "next_sentence_accuracy": 0.625}


def write_run(folder, records=None, held_out=(), **files):
    """Write a run's folder and return it as a string.

    Args:
      records, held_out: lines of the two logs; by default training has steps 10, 20, 30, 40.
      files: `flags`, `config`, `status`, `eval_results`: what to write into the JSON file of that name.
    """
    folder.mkdir(parents=True)
    records = [record(step, loss=5 - step / 20) for step in (10, 20, 30, 40)] if records is None else records
    for name, lines in (("train_log", records), ("eval_log", held_out)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, value in {"flags": FLAGS, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return str(folder)
