"""What a run says of itself while it runs: `train_log.jsonl`, TensorBoard, the console, `status.json`.

Rank 0 only.
"""

import json
import os
import sys
import time

from tqdm import tqdm

from albert_hvd.files import whole_file

_ON_TENSORBOARD = ("loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate",
                   "grad_norm", "sequences_per_sec", "real_tokens_per_sec", "data_wait_fraction")


class TrainLog:
    """Writes one record every so many steps.

    Args:
      output_dir: the run's folder.
      first_step: the step that the run starts or resumes from; records of later steps that an
        interrupted run left are removed, so that no step stands there twice.
      num_train_steps: for the progress bar.
    """

    def __init__(self, output_dir, first_step, num_train_steps):
        import tensorflow as tf

        self._first_step = first_step
        self._path = os.path.join(output_dir, "train_log.jsonl")
        _cut_log(self._path, first_step)
        self._file = open(self._path, "a", encoding="utf-8")
        self._events = tf.summary.create_file_writer(os.path.join(output_dir, "tensorboard"))
        self._scalar = tf.summary.scalar
        self._bar = tqdm(total=num_train_steps, initial=first_step, unit="step", smoothing=0.1,
                         disable=not sys.stderr.isatty())

    def advance(self):
        """Move the progress bar by a step."""
        self._bar.update()

    def write(self, record):
        """Append a record and show it; `record` is a dict with the keys of DESIGN's train_log."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        with self._events.as_default(step=record["step"]):
            for name in _ON_TENSORBOARD:
                self._scalar(name, record[name])
        self._events.flush()
        if self._bar.disable:
            print(self._console_line(record), flush=True)
        else:
            self._bar.set_postfix_str(f"loss {record['loss']:.3f} mlm acc {record['masked_lm_accuracy']:.3f} "
                                      f"{record['real_tokens_per_sec']:.0f} real tok/s")

    def _console_line(self, record):
        """A line with a progress bar, for output that is not a terminal (as under mpirun)."""
        bar = tqdm.format_meter(record["step"], self._bar.total, record["elapsed_sec"], ncols=56, ascii=True,
                                initial=self._first_step,
                                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} <{remaining}")
        return (f"{bar}  loss {record['loss']:.4f}  mlm {record['masked_lm_loss']:.4f} "
                f"acc {record['masked_lm_accuracy']:.4f}  sentence {record['sentence_loss']:.4f}  "
                f"lr {record['learning_rate']:.3g}  {record['sequences_per_sec']:.1f} seq/s  {record['real_tokens_per_sec']:.0f} real tok/s  "
                f"data wait {100 * record['data_wait_fraction']:.1f}%")

    def write_evaluation(self, step, results):
        """Show held-out results under their step: on TensorBoard and the console."""
        with self._events.as_default(step=step):
            for name, value in results.items():
                self._scalar(f"eval/{name}", value)
        self._events.flush()
        self.say(f"eval at step {step}: " + "  ".join(f"{name} {value:.4f}" for name, value in results.items()))

    def say(self, line):
        """Print a line without breaking the progress bar."""
        tqdm.write(line)
        sys.stdout.flush()

    def close(self):
        self._bar.close()
        self._events.close()
        self._file.close()


def _cut_log(path, last_step):
    """Drop records after `last_step`, and a last line that was cut off in the middle."""
    if not os.path.exists(path):
        return
    kept = [json.dumps(record) for record in read_log(path) if record["step"] <= last_step]
    write_atomically(path, "".join(line + "\n" for line in kept))


def read_log(path):
    """The records of a `train_log.jsonl`, as a list of dicts; a torn last line is left out."""
    records = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def write_status(output_dir, state, step, reason=""):
    """Write `status.json`: state is running, finished, stopped or failed."""
    text = json.dumps({"state": state, "step": step, "reason": reason, "time": time.time()})
    write_atomically(os.path.join(output_dir, "status.json"), text + "\n")


def write_atomically(path, text):
    """Write a small text file so that readers see the old one or the new one, never a part."""
    with whole_file(path, "--output_dir") as file:
        file.write(text.encode("utf-8"))
