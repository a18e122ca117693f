"""Targets that read flags: the words of every command, and the texts that a flag's value is parsed from."""

import functools
import os
import runpy
import sys
import unittest.mock

from absl import app, flags
from fuzz_target import Target
from json_targets import write_file

from albert_hvd.data.records.build_plan import check_options
from albert_hvd.data.records.build_stages import ExampleOptions
from albert_hvd.errors import InputError
from albert_hvd.finetuning.options import parse_seeds
from albert_hvd.runtime import streams
from albert_hvd.runtime.files import expand_input_files, expand_outputs

_BIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "bin")
_COMMANDS = ("create_pretraining_data", "doctor", "export", "finetune", "import_checkpoint", "plot", "predict",
             "preprocess", "pretrain", "train_tokenizer", "validate")


def _entry_point():
    if _BIN not in sys.path:
        sys.path.append(_BIN)
    import entry_point

    return entry_point


@functools.cache
def _flags_of(command):
    """The flags that a command defines, and absl's own, apart from those of the other commands."""
    _entry_point()
    before = set(flags.FLAGS)
    with unittest.mock.patch.object(sys, "argv", [command]):
        runpy.run_path(os.path.join(_BIN, command), run_name="description")
    values = flags.FlagValues()
    for name, flag in {flags.FLAGS[name].name: flags.FLAGS[name] for name in flags.FLAGS}.items():
        values[name] = flag
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    return values


def _command_line(data, folder):
    """The first byte chooses the command; a line is a word of it, and what follows a blank line is a flagfile."""
    command = _COMMANDS[data[0] % len(_COMMANDS)] if data else _COMMANDS[0]
    words, _, flagfile = data[1:].decode("utf-8", "surrogateescape").partition("\n\n")
    path = write_file(folder, "a.flags", flagfile.encode("utf-8", "surrogateescape"))
    # A process's words hold no NUL; other flagfiles are files of this machine.
    words = [f"--flagfile={path}" if "flagfile" in word else word for word in words.replace("\0", "").split("\n")]
    values = _flags_of(command)
    try:
        code, errors = _parse([command, *words], values)
    finally:
        values.unparse_flags()
    assert (code, errors.count("\n")) in ((0, 0), (2, 1)), (code, errors)


def _parse(argv, values):
    """(exit code, standard error) of what `entry_point.run` does before the command's own work."""
    ended = []
    with unittest.mock.patch.object(flags, "FLAGS", values), unittest.mock.patch.object(sys, "argv", argv), \
            unittest.mock.patch.object(app, "usage"), unittest.mock.patch.object(streams, "install"), \
            unittest.mock.patch.object(app, "run", lambda main, flags_parser: ended.append(flags_parser(sys.argv))):
        try:
            _entry_point().run(lambda *arguments: None, takes_arguments=argv[0] == "plot")
        except SystemExit as error:
            return error.code, sys.stderr.getvalue()
    return 0, ""


def _flag_texts(data, folder):
    """Each line is given to everything that parses the text of a flag."""
    for text in data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")[:5]:
        for parse in (parse_seeds, expand_outputs, expand_input_files):
            try:
                assert parse(text if parse is not expand_input_files else text.replace("/", "").replace("**", "*"))
            except InputError:
                pass
        numbers = [part for part in text.split(",") if part.removeprefix("-").isdecimal() and len(part) < 4000]
        try:
            check_options(ExampleOptions(*map(int, numbers[:2])))
        except InputError:
            pass


_WORDS = b"\n".join((b"--input_file=a.txt", b"--max_seq_length=128", b"--learning_rate=1e-3", b"--noxla",
                     b"--flagfile=", b"--use_gpu=True", b"--seed", b"5", b"--help")) + b"\n\n--seed=1\n# x\n--a=b\n"

TARGETS = (
    Target("command_line", _command_line,
           lambda folder: [bytes([number]) + _WORDS for number in range(len(_COMMANDS))], share=0.02),
    Target("flag_texts", _flag_texts, lambda folder: [b"1,2,3\na.tfrecord@4\n*.txt,b\n128,20"], share=2),
)
