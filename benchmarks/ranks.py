"""Ranks that train by turns: each `play_ranks` is a launch whose processes sleep while others have their turn.

This module run as a program is one rank of such a launch.
"""

import atexit
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from albert_hvd.errors import RunFailed
from albert_hvd.model.config import AlbertConfig
from albert_hvd.runtime import distributed
from benchmarks.launcher import launch_words

_WARM_UP_UPDATES = 2
_LAUNCH_SEC = 600.0  # until all ranks have compiled and warmed up
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class RankSetting(NamedTuple):
    """What every rank trains: an `AlbertConfig`, full random rows of an update, and updates of a turn."""

    config: AlbertConfig
    max_seq_length: int
    rows: int
    steps: int


def play_ranks(setting, ranks, with_horovod):
    """For `contest.run_by_turns`: so many ranks of one thread each; a turn gives the seconds of an update.

    They share as many cores as they are. Ranks that poll for each other would take the cores of those whose turn it
    is: they are stopped meanwhile.

    Args:
      setting: `RankSetting`.
      ranks: how many processes horovodrun starts.
      with_horovod: whether they reduce their gradients; else they train side by side without knowing of each other.

    Raises:
      InputError: horovodrun is missing.
      RunFailed: the ranks ended, or did not start within minutes.
    """
    launch = _Launch(setting, ranks, with_horovod)
    atexit.register(launch.close)
    launch.wait_until_ready()
    return launch.play


class _Launch:
    """The processes of one horovodrun and the sockets to its ranks."""

    def __init__(self, setting, ranks, with_horovod):
        self._steps = setting.steps
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-ranks-")
        address = os.path.join(self._folder.name, "socket")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(address)
        self._server.listen(ranks)
        self._server.settimeout(0.5)
        cores = sorted(os.sched_getaffinity(0))[:ranks]
        task = json.dumps({**setting._asdict(), "config": dataclasses.asdict(setting.config), "address": address,
                           "cores": cores, "with_horovod": with_horovod})
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        self._output = tempfile.TemporaryFile()
        self._launcher = subprocess.Popen(
            [*launch_words(ranks), sys.executable, "-m", "benchmarks.ranks", task],
            env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output)
        self._size, self._streams, self._pids = ranks, [], []

    def wait_until_ready(self):
        deadline = time.monotonic() + _LAUNCH_SEC
        while len(self._streams) < self._size:
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                if self._launcher.poll() is not None or time.monotonic() > deadline:
                    raise self._failure() from None
                continue
            self._streams.append(connection.makefile("rw"))
        self._pids = [self._answer(stream) for stream in self._streams]
        self._signal(signal.SIGSTOP)

    def play(self):
        """Seconds of an update, of the slowest rank."""
        self._signal(signal.SIGCONT)
        for stream in self._streams:
            print("turn", file=stream, flush=True)
        seconds = max(self._answer(stream) for stream in self._streams)
        self._signal(signal.SIGSTOP)
        return seconds / self._steps

    def close(self):
        """The ranks wake, find the sockets closed and leave; those that have not soon are killed."""
        self._signal(signal.SIGCONT)
        for stream in self._streams:
            stream.close()
        self._server.close()
        try:
            self._launcher.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._launcher.terminate()
        self._folder.cleanup()

    def _answer(self, stream):
        try:
            return json.loads(stream.readline())
        except (OSError, ValueError):
            raise self._failure() from None

    def _signal(self, number):
        for pid in self._pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _failure(self):
        self._output.seek(0)
        tail = self._output.read()[-2000:].decode("utf-8", "replace")
        return RunFailed(f"horovodrun -np {self._size}: the ranks ended or did not start: {tail}")


def _start(task):
    """Give this process its cores and TensorFlow one thread; start Horovod if it is wanted."""
    # As many cores as ranks make one thread for each, which `distributed.initialize` gives them.
    os.sched_setaffinity(0, task["cores"])
    if task["with_horovod"]:
        distributed.initialize(use_gpu=False)
        return
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)  # as distributed.initialize


def _training(task):
    """A callable that makes one update, in this process."""
    import numpy as np

    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizer import AdamW
    from albert_hvd.training.step import TrainingStep
    from benchmarks.random_rows import random_rows

    config = AlbertConfig(**task["config"])
    model = AlbertPretrainer(config, compiled=True)
    optimizer = AdamW(learning_rate=1e-4, num_train_steps=10**6)
    if task["with_horovod"]:
        optimizer = distributed.distributed_optimizer(optimizer)
    optimizer.build(named_variables(model), compiled=True)
    step = TrainingStep(model, optimizer)
    batch = {**random_rows(config, task["rows"], task["max_seq_length"]),
             "sentence_weights": np.ones((task["rows"], 1), np.float32)}
    return lambda: step(batch, (0, 0), stop=False)


def _serve(task):
    """A rank: makes a turn for each line that it is sent, until the socket is closed."""
    _start(task)
    update = _training(task)
    for _ in range(_WARM_UP_UPDATES):  # the first compiles
        update()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(task["address"])
        stream = connection.makefile("rw")
        print(os.getpid(), file=stream, flush=True)
        for _ in stream:
            began = time.perf_counter()
            for _ in range(task["steps"]):
                update()
            print(time.perf_counter() - began, file=stream, flush=True)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
