"""What training shows as it runs: its logs, TensorBoard, and lines or a bar on the console. Rank 0 only."""

import contextlib
import os
import sys
import time

import numpy as np
from tqdm import tqdm

from albert_hvd.errors import InputError, RunFailed
from albert_hvd.run_folder.layout import EVAL_LOG, TRAIN_LOG
from albert_hvd.run_folder.logs import JsonLines, cannot_write

# Of a log record, what TensorBoard and other reporters get.
_REPORTED = ("loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate", "grad_norm",
             "sequences_per_sec", "real_tokens_per_sec", "data_wait_fraction")


class _Events:
    """The TensorBoard files of a folder, a reporter (see reporters.py).

    Raises RunFailed when the disk is full, InputError when it is at once.
    """

    def __init__(self, folder):
        import tensorflow as tf

        self._folder, self._summary, self._error = folder, tf.summary, tf.errors.OpError
        with self._told_as(InputError):
            self._writer = tf.summary.create_file_writer(folder)

    def write(self, step, values):
        """Append a dict of numbers."""
        with self._told_as(RunFailed):
            # As numbers of NumPy: TensorFlow keeps every number of Python's that it has ever been given.
            with self._writer.as_default(step=np.int64(step)):
                for name, value in values.items():
                    self._summary.scalar(name, np.float32(value))
            self._writer.flush()

    @contextlib.contextmanager
    def _told_as(self, kind):
        try:
            yield
        except self._error as error:
            # Of several lines only the first says what happened: "{{node}} path; No space left on device".
            raise kind(cannot_write(self._folder, error.message.splitlines()[0].split("; ")[-1])) from None

    def close(self, failed):
        self._writer.close()


class TrainLog:
    """Writes one record every so many steps.

    Args:
      output_dir: the run's folder.
      first_step: the step that the run starts or resumes from.
      share: of the run that is behind it then.
      total, unit: of the progress bar: "step" or "min".
      reporters: what gets the figures beside the files and TensorBoard.
      evaluation_is_missing: whether that of `first_step` is still to be made, whatever the log says.

    Attributes:
      failed: what reporters are told at the end.
    """

    def __init__(self, output_dir, first_step, share, total, unit, reporters=(), evaluation_is_missing=False):
        self.failed = False
        self._records = JsonLines(os.path.join(output_dir, TRAIN_LOG), first_step)
        self._evaluations = JsonLines(os.path.join(output_dir, EVAL_LOG), first_step - evaluation_is_missing)
        self._reporters = [_Events(os.path.join(output_dir, "tensorboard")), *reporters]
        self._first, self._began = self._count(share, total), time.monotonic()
        self._bar = tqdm(total=total, initial=self._first, unit=unit, smoothing=0.1, disable=not sys.stderr.isatty())

    @staticmethod
    def _count(share, total):
        """Steps or minutes of the run that are behind it."""
        return round(share * total) if isinstance(total, int) else round(share * total, 1)

    def advance(self, share):
        """Move the progress bar to this share of the run."""
        self._bar.update(self._count(share, self._bar.total) - self._bar.n)

    def write(self, record, share):
        """Append a record and show it; `record` is a dict with the keys of DESIGN's train_log."""
        self._records.write(record)
        sources = record.get("sources", {})
        self._report(record["step"], {**{name: record[name] for name in _REPORTED},
                                      **{f"sources/{source}/{name}": value for source, values in sources.items()
                                         for name, value in values.items()}})
        if self._bar.disable:
            print(self._console_line(record, share), flush=True)
        else:
            self._bar.set_postfix_str(f"loss {record['loss']:.3f} mlm acc {record['masked_lm_accuracy']:.3f} "
                                      f"{record['real_tokens_per_sec']:.0f} real tok/s")
        if sources:
            self.say("sources: " + "  ".join(
                f"{name} {values['share']:.1%}" + (f" loss {values['loss']:.4f}" if "loss" in values else "")
                for name, values in sources.items()))

    def _console_line(self, record, share):
        """A line with a progress bar, for output that is not a terminal (as under mpirun)."""
        # The time left is reckoned from the pace since this start: before it there may have been other ranks.
        bar = tqdm.format_meter(self._count(share, self._bar.total), self._bar.total, time.monotonic() - self._began,
                                initial=self._first, ncols=56, ascii=True,
                                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} <{remaining}")
        return (f"{bar}  loss {record['loss']:.4f}  mlm {record['masked_lm_loss']:.4f} "
                f"acc {record['masked_lm_accuracy']:.4f}  sentence {record['sentence_loss']:.4f}  "
                f"lr {record['learning_rate']:.3g}  {record['sequences_per_sec']:.1f} seq/s  "
                f"{record['real_tokens_per_sec']:.0f} real tok/s  data wait {100 * record['data_wait_fraction']:.1f}%")

    def write_evaluation(self, step, results):
        """Append held-out results to `eval_log.jsonl` and show them to reporters and on the console."""
        self._evaluations.write({"step": step, **results})
        self._report(step, {f"eval/{name}": value for name, value in results.items()})
        self.say(f"eval at step {step}: " + "  ".join(f"{name} {value:.4f}" for name, value in results.items()))

    def _report(self, step, values):
        for reporter in self._reporters:
            reporter.write(step, values)

    def say(self, line):
        """Print a line without breaking the progress bar."""
        tqdm.write(line)
        sys.stdout.flush()

    def close(self):
        self._bar.close()
        self._records.close()
        self._evaluations.close()
        for reporter in self._reporters:
            reporter.close(self.failed)
