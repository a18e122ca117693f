"""Starts `huggingface_peer.py`, or a program like it, with a Python that has PyTorch, and passes on its answers."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError, RunFailed
from albert_hvd.serving.formats.huggingface.names import sizes_to_huggingface
from benchmarks.contestants import CLIP_NORM, LEARNING_RATE, SEED, WEIGHT_DECAY, for_huggingface, work_of_batch
from benchmarks.gpu_round import GpuRound, Summary
from benchmarks.model_flops import NO_WORK

_BATCHES = 12  # prepared, and trained on again and again
# Batches are padded to a multiple of this, so that few shapes are compiled.
_PAD_TO = 128


def play_peer(setting, precision, kernel, python):
    """For `contest.run_by_turns`: rounds of Hugging Face's ALBERT.

    Its batches lie ready in its memory, so that reading costs it nothing. Those without padding come without a mask,
    which lets SDPA take its fastest kernels.

    Args:
      setting: `contestants.Setting`.
      precision: "float32" or "bfloat16" (autocast).
      kernel: name of a `torch.nn.attention.SDPBackend`, or None to let PyTorch choose.
      python: the interpreter; None: this one.

    Raises:
      InputError: it cannot import PyTorch or transformers.
      RunFailed: it failed, with its last words.
    """
    folder = tempfile.mkdtemp(prefix="benchmark-peer-")
    works, paths = [], []
    batches = TrainingBatches(open_records(setting.input_file, "input_file", setting, setting.config.vocab_size),
                              setting.rows, 0, 1, SEED)
    for number in range(_BATCHES):
        batch = next(batches)
        works.append(work_of_batch(batch))
        paths.append(os.path.join(folder, f"{number}.npz"))
        np.savez(paths[-1], **_padded(for_huggingface(batch), setting.max_seq_length))
    batches.close()
    settings = {"sizes": sizes_to_huggingface(setting.config), "precision": precision, "kernel": kernel,
                "compile": True, "device": "cuda" if setting.device == "gpu" else "cpu", "seed": SEED,
                "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "clip_norm": CLIP_NORM,
                "steps": setting.steps, "batches": paths}
    return _Peer(PeerProcess("huggingface_peer.py", settings, python, folder), works)


class _Peer:
    """What `play_peer` returns."""

    def __init__(self, process, works):
        self._process, self._works = process, works

    def __call__(self):
        answer = self._process.ask("round")
        work = sum((self._works[number] for number in answer["batches"]), start=NO_WORK)
        return GpuRound(answer["seconds"], work, answer["loss"], 0.0)

    def finish(self):
        """`Summary` of the rounds."""
        answer = self._process.ask("finish")
        return Summary(self._process.setup_sec, answer["peak"], answer["trace"], self._process.versions)


class PeerProcess:
    """A program that answers questions as `huggingface_peer.serve` does; ends with this process.

    Args:
      script: its name in this folder.
      settings: dict for it, which JSON can hold.
      python: the interpreter; None: this one.
      folder: of the file of the settings.

    Attributes:
      setup_sec: how long its setting up took; versions: of its packages.

    Raises:
      InputError: it cannot import PyTorch or transformers.
      RunFailed: it failed, with its last words.
    """

    def __init__(self, script, settings, python, folder):
        path = os.path.join(folder, "settings.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), script)
        self._process = subprocess.Popen([python or sys.executable, script, path], env=clean_environment(os.environ),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self._receive()
        self.setup_sec, self.versions = ready["setup_sec"], ready["versions"]

    def ask(self, question):
        """The answer to "round" or "finish"; raises RunFailed."""
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._receive()

    def _receive(self):
        line = self._process.stdout.readline()
        if not line:
            raise RunFailed(f"the peer ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            if answer["error"].startswith("ModuleNotFoundError"):
                raise InputError(f"--peer=huggingface: {answer['error']}; name a Python that has PyTorch and "
                                 f"transformers with --peer_python")
            raise RunFailed(answer["error"])
        return answer


def clean_environment(environment):
    """The environment without what makes Python or the loader prefer the packages of TensorFlow's environment.

    TensorFlow's libraries of CUDA 12 would shadow PyTorch's. Folders of the machine's driver stay.
    """
    environment = dict(environment)
    environment.pop("PYTHONPATH", None)
    prefix = environment.get("VIRTUAL_ENV")
    if prefix and environment.get("LD_LIBRARY_PATH"):
        folders = environment["LD_LIBRARY_PATH"].split(":")
        environment["LD_LIBRARY_PATH"] = ":".join(f for f in folders if f and not f.startswith(prefix))
    return environment


def _padded(batch, max_seq_length):
    """Padded to a multiple of `_PAD_TO`, but not beyond `max_seq_length`; without a mask that hides nothing."""
    length = batch["input_ids"].shape[1]
    more = min(-length % _PAD_TO, max_seq_length - length)
    fill = {"labels": -100}
    batch = {name: np.pad(array, ((0, 0), (0, more)), constant_values=fill.get(name, 0)) if array.ndim == 2 else array
             for name, array in batch.items()}
    if batch["attention_mask"].all():
        del batch["attention_mask"]
    return batch
