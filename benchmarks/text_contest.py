"""What users do with a model, here and at Hugging Face: the texts, the turns, the same results, and the table.

A benchmark gives what it has of its own: a class for this program's side, with `run(texts)`, `results(answers)` and,
where the first texts are not enough to warm up, `warm_up()`; and the settings of `huggingface_work.py`.
"""

import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from typing import NamedTuple

import numpy as np

from albert_hvd.data.text.corpus import plan_blocks, read_block
from albert_hvd.errors import InputError, RunFailed
from albert_hvd.options import option
from albert_hvd.runtime import tensorflow_import
from albert_hvd.runtime.files import expand_input_files
from benchmarks.contest import peak_bytes, run_by_turns
from benchmarks.flag_checks import check_least
from benchmarks.peer_process import PeerProcess

PEERS = ("none", "huggingface")
OWN = "albert_hvd"
# Numbers may differ by this, times the largest of them where that is above 1: float32 through some dozen layers.
TOLERANCE = 1e-4
# Of the results: two tokenizers may cut a text differently where two ways have the same score.
_MOST_DIFFERENT = 0.01
_WARM_UP_TEXTS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContestOptions:
    """The flags that the comparisons share."""

    model: str = option(None, "the model's folder")
    max_texts: int = option(512, "texts, taken evenly from all; 0: all of them", least=0)
    rounds: int = option(3, "turns of each program, each with all texts")
    peer: str = option("none", " or ".join(PEERS))
    peer_sorted: bool = option(False, "also run the peer with texts of similar length together")
    peer_python: str = option(None, "the Python that has PyTorch and transformers; default: the one that runs this")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineOptions(ContestOptions):
    """The flags of those that read lines of text."""

    input_file: str = option(None, "texts, one a line: a comma list of files and globs")
    peer_batch_size: int = option(32, "texts of a batch of the peer")


class Results(NamedTuple):
    """What came out, N of them: `values`, float (N, D); `choices`, str (N, K), the likeliest first, or None."""

    values: np.ndarray
    choices: np.ndarray = None


class Round(NamedTuple):
    """A turn; `loss` of a training, else None."""

    seconds: float
    loss: float = None


class Summary(NamedTuple):
    """Of a program's turns: loading and warming up, peak resident size, and `Results`."""

    setup_sec: float
    peak_bytes: int
    results: Results
    versions: dict


def check(options, word, *needed):
    """InputError for a flag that is missing or wrong; `word` is that of bin/benchmark."""
    for name in ("model", *needed):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing; see bin/benchmark {word} --help")
    check_peer(options)
    check_least(options, 1, "rounds")
    check_least(options, 0, "max_texts")


def check_peer(options):
    """InputError for a peer that is unknown, or whose Python is not there."""
    if options.peer not in PEERS:
        raise InputError("unknown", f"give {' or '.join(PEERS)}", name="peer", value=options.peer)
    if options.peer_python and not shutil.which(options.peer_python):
        raise InputError("no such program", "give the path of a Python", name="peer_python", value=options.peer_python)


def read_lines(options):
    """The lines of --input_file that the programs get; InputError when there are none."""
    check_least(options, 1, "peer_batch_size")
    blocks = plan_blocks(expand_input_files(options.input_file))
    lines = [line for block in blocks for document in read_block(block)[0] for line in document]
    if not lines:
        raise InputError("no text in it", "give files with at least one line", name="input_file",
                         value=options.input_file)
    return evenly(lines, options.max_texts)


def evenly(items, most):
    """At most `most` of a list, at equal distances and in its order; 0: all."""
    if not most or len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]


def without_long(texts, num_pieces, room, report):
    """The texts that fit into a row, for a longer one is other work for each program; a note says how many do not.

    Args:
      num_pieces: function of a text.
      room: pieces of a row besides <cls> and <sep>.
    """
    short = [text for text in texts if num_pieces(text) <= room]
    if len(short) < len(texts):
        report.notes.append(f"left out: {len(texts) - len(short)} texts of more than {room} pieces")
    if not short:
        raise InputError(f"every text has more than {room} pieces", "give shorter ones", name="input_file",
                         value=report.settings["input_file"])
    return short


def play_own(make, arguments, texts, threads):
    """This program's side, for `run_by_turns`.

    Args:
      make: class of the benchmark, or a function that makes one, called with `arguments`.
    """
    began = time.perf_counter()
    tensorflow_import.install()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    return _OwnTurns(make(*arguments), texts, began)


class _OwnTurns:
    """What `play_own` returns."""

    def __init__(self, work, texts, began):
        self._work, self._texts = work, texts
        if hasattr(work, "warm_up"):
            work.warm_up()
        else:
            work.run(texts[:_WARM_UP_TEXTS])
        self._setup_sec = time.perf_counter() - began

    def __call__(self):
        began = time.perf_counter()
        self._answers = self._work.run(self._texts)
        seconds = time.perf_counter() - began
        return Round(seconds, self._answers if isinstance(self._answers, float) else None)

    def finish(self):
        return Summary(self._setup_sec, peak_bytes(), self._work.results(self._answers), {})


def play_peer(settings, python, folder):
    """Hugging Face's side, for `run_by_turns`; `settings` are those of `huggingface_work.Peer`, without `results`."""
    folder = tempfile.mkdtemp(dir=folder, prefix="peer-")
    path = os.path.join(folder, "results.npz")
    return _PeerTurns(PeerProcess("huggingface_work.py", {**settings, "results": path}, python, folder), path)


class _PeerTurns:
    """What `play_peer` returns."""

    def __init__(self, process, path):
        self._process, self._path = process, path

    def __call__(self):
        return Round(**self._process.ask("round"))

    def finish(self):
        peak = self._process.ask("finish")["peak"]
        with np.load(self._path) as file:
            results = Results(**{name: file[name] for name in file.files})
        return Summary(self._process.setup_sec, peak, results, self._process.versions)


def measure(report, options, own, texts, peer_settings, folder, num_tokens=None):
    """Run the turns and fill the report.

    Args:
      own: (`make`, `arguments`) of this program's side, see `play_own`.
      texts: what both get; a list.
      peer_settings: what `huggingface_work.Peer` is given besides, or in the place of, what is the same in all.
      folder: for files that the programs write.
      num_tokens: of all texts, without padding, for a column of their own.

    Raises:
      InputError: the model is not as it must be, or the peer lacks a package.
      RunFailed: a program failed, or the peer's results are others.
    """
    threads = len(os.sched_getaffinity(0))
    contestants = {OWN: (play_own, (*own, texts, threads))}
    if options.peer == "huggingface":
        for is_sorted in (False, True)[:1 + options.peer_sorted]:
            settings = {"texts": texts, "sorted": is_sorted, "threads": threads, **peer_settings}
            name = "huggingface" + ", sorted" * is_sorted
            contestants[name] = (play_peer, (settings, options.peer_python, folder))
    outcome = run_by_turns(contestants, options.rounds)
    for name, (rounds, summary) in outcome.items():
        report.rows.append(_row(name, rounds, summary, len(texts), num_tokens))
        report.versions.update(summary.versions)
    own_rounds, own_summary = outcome.pop(OWN)
    for name, (rounds, summary) in outcome.items():
        ratios = sorted(theirs.seconds / ours.seconds for ours, theirs in zip(own_rounds, rounds, strict=True))
        report.notes += [
            f"{OWN}: {statistics.median(ratios):.2f} times the texts/s of {name} ({ratios[0]:.2f} to {ratios[-1]:.2f} "
            f"in the turns), {own_summary.peak_bytes / summary.peak_bytes:.2f} times its memory",
            compared(own_summary.results, summary.results, name)]
    report.notes.append(f"{len(texts)} texts; {threads} threads each; set-up: loading and warming up")
    return report


def _row(name, rounds, summary, num_texts, num_tokens):
    seconds = statistics.median(turn.seconds for turn in rounds)
    row = {"program": name, "texts/s": num_texts / seconds}
    if num_tokens:
        row["real tokens/s"] = num_tokens / seconds
    row.update({"peak MiB": summary.peak_bytes / 2**20, "set-up s": summary.setup_sec})
    if rounds[-1].loss is not None:
        row["loss"] = rounds[-1].loss
    return row


def compared(ours, theirs, name):
    """How far two `Results` agree, as a note; RunFailed when they are not those of one model."""
    if ours.values.shape != theirs.values.shape:
        raise RunFailed(f"{OWN} has results of the shape {ours.values.shape}, {name} of {theirs.values.shape}")
    different, largest = differing(ours, theirs)
    words = (f"{len(different) - different.sum()} of {len(different)} results are those of {name} (within "
             f"{TOLERANCE:g}; the largest difference is {largest:.2g})")
    if different.mean() > _MOST_DIFFERENT:
        raise RunFailed(f"only {words}: a comparison of speeds would mean nothing")
    return words


def differing(ours, theirs):
    """(bool (N,), the largest difference of a value) of two `Results`.

    The first choices may be others where the first two values lie within the tolerance: their order means nothing.
    """
    tolerance = TOLERANCE * max(1.0, float(np.abs(ours.values).max(initial=0.0)))
    distances = np.abs(ours.values.astype(np.float64) - theirs.values).max(axis=1, initial=0.0)
    different = ~(distances <= tolerance)  # of no number too
    if ours.choices is not None:
        clear = np.ones(len(different), bool)
        if ours.values.shape[1] > 1:
            clear = ours.values[:, 0] - ours.values[:, 1] > tolerance
        different |= clear & (ours.choices[:, 0] != theirs.choices[:, 0])
    return different, float(distances.max(initial=0.0))
