"""What every command of `bin/` does before and after its own work.

`use_project_environment` finds the Python that `bin/setup` made; `run` parses the flags and turns
exceptions into the exit codes 0, 1, 2 and 75. Neither imports TensorFlow.
"""

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

ENVIRONMENT = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(ENVIRONMENT, "bin", "python")

# How long a rank above 0 waits for rank 0 to report the same bad input before it speaks itself.
RANK_0_SPEAKS_FIRST_SEC = 5.0

# For flags without an upper bound of their own: no count, length or seed is meant to be larger.
LARGEST_INTEGER = 2**31 - 1

LONGEST_NAME = 100  # of a flag


def use_project_environment():
    """Continue under `.venv`'s Python when this one lacks the dependencies; exit 2 when there is none."""
    if ROOT not in sys.path:
        sys.path.append(ROOT)
    if importlib.util.find_spec("tensorflow") and importlib.util.find_spec("absl"):
        return
    if os.path.realpath(sys.prefix) != os.path.realpath(ENVIRONMENT) and os.path.exists(PYTHON):
        os.execv(PYTHON, [PYTHON, *sys.argv])
    sys.exit(_report("TensorFlow is not installed: run bin/setup first (it makes .venv), "
                     "or activate the environment that has it"))


def set_up_project_environment():
    """Run `bin/setup` once, then continue under `.venv`'s Python with its commands on PATH."""
    if os.environ.pop("ALBERT_HVD_IS_SET_UP", None):
        return
    code = subprocess.call([os.path.join(ROOT, "bin", "setup")])
    if code:
        sys.exit(code)
    os.environ["PATH"] = os.path.dirname(PYTHON) + os.pathsep + os.environ["PATH"]
    os.environ["ALBERT_HVD_IS_SET_UP"] = "1"
    os.execv(PYTHON, [PYTHON, *sys.argv])


def launched_rank():
    """The rank as the launcher's environment tells it, before MPI is initialised; 0 without one."""
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def launched_size():
    """The number of ranks as the launcher's environment tells it; 1 without one."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 1


def run(main, takes_arguments=False, prints_result=False):
    """Parse the flags, call `main()`, and exit as the contract says.

    0: done. 2: bad flags or input, one line on stderr. 75: stopped by a signal after saving.
    1: anything else, with a traceback.

    Args:
      main: the command.
      takes_arguments: call `main(arguments)` instead, with the list of the words that are no flags;
        without it such a word is an error.
      prints_result: standard output is what the command is for; without it, a run does not end when what it says
        there gets lost.
    """
    from albert_hvd.runtime import streams, tensorflow_import

    streams.install()
    from absl import app, flags, logging  # after it, since logging keeps the stream of its first import

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A notebook's, which its commands inherit, need not exist here; all that is drawn goes to files.
    os.environ["MPLBACKEND"] = "agg"
    tensorflow_import.install()

    def parse_flags(argv):
        if {"--help", "-h", "-help"} & set(argv[1:]):
            app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)  # absl's own --help exits with 1
        try:
            _check_encoding(argv[1:])
            _check_names(argv[1:])
            flags.FLAGS.set_gnu_getopt(takes_arguments)  # flags may stand behind arguments
            extra = flags.FLAGS(argv)[1:]
            if not flags.FLAGS["verbosity"].present:
                logging.set_verbosity(logging.WARNING)  # TensorFlow's Python code logs there too
            if extra and not takes_arguments:
                raise flags.Error(f"unexpected argument {extra[0]!r}: every option is a --flag=value "
                                  f"(see --help)")
            _check_numbers(flags.FLAGS)
        except flags.Error as error:
            _leave(2, str(error))
        except (UnicodeDecodeError, RecursionError) as error:
            _leave(2, f"--flagfile: cannot be read as flags ({error}); give a text file with one flag a line")
        return argv[:1] + extra

    def call(argv):
        with streams.ResultOnOutput() if prints_result else contextlib.nullcontext():
            main(*([argv[1:]] if takes_arguments else []))

    app.run(lambda argv: _call(call, argv), flags_parser=parse_flags)


def _check_encoding(words):
    """Refuse words that are not UTF-8: paths end up in JSON, and libraries in C++ take UTF-8 only."""
    from absl import flags

    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise flags.Error(f"argument {number}, {os.fsencode(word)!r:.{LONGEST_NAME}}, is not UTF-8: "
                              f"convert it (a file: rename it)") from None


def _check_names(words):
    """Refuse what absl would compare with every flag by recursion, for minutes or until Python stops it."""
    from absl import flags

    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-") and len(name) > LONGEST_NAME:
            raise flags.Error(f"unknown flag {name[:LONGEST_NAME]}... of {len(name)} characters (see --help)")


def _check_numbers(parsed):
    """Refuse numbers that absl lets through and nobody means: nan, infinity, integers without bound beyond 31 bits."""
    from absl import flags

    for name in parsed:
        flag = parsed[name]
        if isinstance(flag.value, float) and not math.isfinite(flag.value):
            raise flags.Error(f"flag --{name}={flag.value}: not a finite number; give one")
        if (isinstance(flag.value, int) and getattr(flag.parser, "upper_bound", None) is None
                and flag.value > LARGEST_INTEGER):
            raise flags.Error(f"flag --{name}={flag.value}: give {LARGEST_INTEGER} or less")


def _call(main, argv):
    from albert_hvd.errors import (EXIT_BAD_INPUT, EXIT_STOPPED, InputError, StoppedBySignal, RunFailed,
                                   parameters_as_flags)
    from albert_hvd.runtime.exit import exit_now
    from albert_hvd.runtime.streams import OutputClosed

    with parameters_as_flags():
        try:
            main(argv)
        except OutputClosed:
            sys.exit(0)
        except InputError as error:
            _leave(EXIT_BAD_INPUT, str(error))
        except RunFailed as error:
            _leave(1, str(error))
        except StoppedBySignal:
            sys.exit(EXIT_STOPPED)
        except KeyboardInterrupt:
            _leave(130, "interrupted")
        except Exception:  # noqa: BLE001 - the traceback is printed, then the other ranks must go as well
            if launched_size() == 1:
                raise
            import traceback
            traceback.print_exc()
            sys.stderr.write(f"(rank {launched_rank()} of {launched_size()} on {os.uname().nodename} failed; "
                             f"the launcher stops the others)\n")
            exit_now(1)


def _leave(code, message):
    """Print `message` once over all ranks and exit with `code`.

    All ranks usually find the same bad input. The launcher kills the others as soon as one exits
    with an error, so ranks above 0 hold back: they are either killed after rank 0 has spoken, or
    they are the only ones who know, and say it themselves.
    """
    from albert_hvd.runtime.exit import exit_now

    if launched_rank() != 0:
        time.sleep(RANK_0_SPEAKS_FIRST_SEC)
    _report(message)
    if launched_size() == 1:
        sys.exit(code)
    exit_now(code)


def _report(message):
    """Write `message` as one line on stderr under the command's name; return exit code 2."""
    sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {' '.join(message.split())}\n")
    return 2
