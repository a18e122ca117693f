"""What tests share: where the optional reference data lies, and a tiny configuration."""

import atexit
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest  # noqa: E402

from command_server import CommandServer  # noqa: E402
from albert_hvd.model.config import AlbertConfig  # noqa: E402
from albert_hvd.runtime import tensorflow_import  # noqa: E402

tensorflow_import.install()
pytest_plugins = ["fault_suite", "tiers"]

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def fixtures():
    """The folder of reference outputs computed with other projects' code."""
    folder = SHARED / "fixtures"
    if not folder.is_dir():
        pytest.skip("reference fixtures are not on this machine (../shared/fixtures)")
    return folder


@pytest.fixture
def tiny_config():
    return AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=2,
                        num_attention_heads=2, intermediate_size=32, max_position_embeddings=16,
                        initializer_range=0.2)


def command_environment():
    """The environment of a user who has activated the virtual environment that runs the tests."""
    return {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "VIRTUAL_ENV": sys.prefix, "TF_CPP_MIN_LOG_LEVEL": "2"}


def command_words(name, ranks=0, words=(), **flags):
    """`bin/<name> words... --flag=value ...`, under horovodrun when `ranks` is given."""
    launcher = ["horovodrun", "-np", str(ranks)] if ranks else []
    flags = [f"--{flag}={value}" for flag, value in flags.items()]
    return [*launcher, str(ROOT / "bin" / name), *map(str, words), *flags]


@functools.cache
def command_server():
    """The `CommandServer` of these tests."""
    server = CommandServer(command_environment()).__enter__()
    atexit.register(server.__exit__)
    return server


def run_command(name, ranks=0, cwd=None, timeout=500, words=(), stdin="", umask=None, **flags):
    """Run a command to its end; returns the `CompletedProcess` with text output.

    Args:
      name: such as "pretrain".
      ranks: how many horovodrun starts. 0: one, without a launcher, and as a fork of `command_server`.
      words: what stands before the flags.
      stdin: text, or bytes that are none.
      umask: for a command without a launcher.
    """
    command = command_words(name, ranks, words, **flags)
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    if ranks:
        result = subprocess.run(command, cwd=cwd, env=command_environment(), input=stdin, capture_output=True,
                                timeout=timeout)
    else:
        command[0] = name
        result = command_server().run(command, str(cwd or os.getcwd()), timeout, stdin, command_environment(), umask)
        if result.returncode is None:
            raise subprocess.TimeoutExpired(command, timeout, result.stdout, result.stderr)
    return as_text(result)


def as_text(result):
    """A `CompletedProcess` with its output as text, lines ending in a newline whatever ended them."""
    texts = [re.sub("\r\n?", "\n", output.decode(errors="replace")) for output in (result.stdout, result.stderr)]
    return subprocess.CompletedProcess(result.args, result.returncode, *texts)


def own_lines(result, name):
    """The lines that a command wrote on stderr itself, without the launcher's."""
    return [line.split(f"{name}: ", 1)[1] for line in result.stderr.splitlines() if f"{name}: " in line]


@pytest.fixture(scope="session")
def training_files(tmp_path_factory):
    """A folder with a tiny config and random records: two training shards and one held-out file.

    Holds config.json, train-0.tfrecord (31 records), train-1.tfrecord (10) and eval.tfrecord (13), of
    16 positions and 3 predictions, vocabulary 50.
    """
    import numpy as np

    from albert_hvd.data.records.tfrecord import RecordWriter

    folder = tmp_path_factory.mktemp("training_files")
    config = AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=2,
                          num_attention_heads=2, intermediate_size=32, max_position_embeddings=16)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    random = np.random.default_rng(7)
    for name, count in (("train-0", 31), ("train-1", 10), ("eval", 13)):
        with RecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for _ in range(count):
                writer.write(random_record(random))
    return folder


def random_record(random, max_seq_length=16, max_predictions_per_seq=3, vocab_size=50):
    """One record with a random true length and number of predictions."""
    import numpy as np

    length = int(random.integers(5, max_seq_length + 1))
    used = int(random.integers(1, max_predictions_per_seq + 1))
    mask = (np.arange(max_seq_length) < length).astype(np.int32)
    slots = (np.arange(max_predictions_per_seq) < used).astype(np.int32)
    positions = np.zeros(max_predictions_per_seq, np.int32)
    positions[:used] = np.sort(random.choice(length, used, replace=False))
    return {
        "input_ids": random.integers(5, vocab_size, max_seq_length).astype(np.int32) * mask,
        "input_mask": mask, "segment_ids": (np.arange(max_seq_length) >= length // 2) * mask,
        "masked_lm_positions": positions,
        "masked_lm_ids": random.integers(5, vocab_size, max_predictions_per_seq).astype(np.int32) * slots,
        "masked_lm_weights": slots.astype(np.float32),
        "next_sentence_labels": random.integers(0, 2, 1).astype(np.int32),
    }


def pytest_make_parametrize_id(val, argname):
    """Bytes are numbered: what gzip and zip make holds the time, and pytest's processes must agree on the names."""
    return argname if isinstance(val, bytes) else None
