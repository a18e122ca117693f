"""Importing TensorFlow without what no command uses, and without the lines that it writes on every start.

TensorFlow imports Keras to enter its optimizers somewhere, and an older Keras of its own, which imports h5py and scipy;
Keras imports, where they are installed, scikit-learn (with it scipy.stats) for wrappers and matplotlib for plots of images.
That is more than half of the processor time until a rank is ready, and 100 MiB. Each does without where it cannot import
the other, and we need none of them. Keras is there when it is asked for. Horovod asks for it at its import, for a layer.

The parts of TensorFlow's interface that no command or few commands use, above all its older one (`tf.compat`), are imported
when something is asked of them for the first time: 28 MiB less for a command that does not. Horovod asks for `tf.compat` at
its import.

Two of TensorFlow's libraries write "oneDNN custom operations are on" to standard error when they are loaded, whatever
TF_CPP_MIN_LOG_LEVEL says (2.21), each behind a warning about that warning. Users look for one line with an error there.
"""

import contextlib
import functools
import importlib.machinery
import importlib.util
import logging
import os
import subprocess
import sys

# What the import of each must do without.
HIDDEN = {"tensorflow": ("h5py", "keras.src", "scipy"), "keras": ("matplotlib", "sklearn")}
# Where the parts of TensorFlow's interface are, and those that are imported with it: what several threads may use first, for
# `importlib.util.LazyLoader` is not safe for threads before Python 3.12.3; `tf.distribute`, which needs its own place in
# `tensorflow` while it is imported; and four small parts that come before `_WRAPPERS`.
INTERFACE = "tensorflow._api.v2"
AT_ONCE = frozenset(["__internal__", "__operators__", "audio", "autodiff", "autograph", "bitwise", "config", "data",
                     "distribute", "dtypes", "errors", "linalg", "math", "nn", "random", "raw_ops"])
# Puts other functions in the place of some, for the parts that are imported after it. `tf.compat` is the first that needs it.
_WRAPPERS = "tensorflow.python.ops.weak_tensor_ops"

# Information (I), in the form of C++ logs; warnings and errors (W, E, F) pass.
_START_UP_LINES = (r"^(I[0-9]{4} [0-9:.]+ |WARNING: All log messages before absl::InitializeLog\(\) is called|"
                   r"To enable the following instructions: )")


class _FirstImport:
    """Runs the first import of a module that succeeds within a context; asked before all other finders.

    Args:
      name: the module.
      context: called without arguments; returns the context manager.
    """

    def __init__(self, name, context):
        self.name, self._context = name, context

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # so that the others are asked
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)  # that somebody asks where the module is does not yet import it
        if spec is not None:
            spec.loader.exec_module = functools.partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, exec_module, module):
        sys.meta_path.remove(self)
        try:
            with self._context():
                exec_module(module)
        except BaseException:
            sys.meta_path.insert(0, self)
            raise


class _LateImport:
    """A finder of the parts of TensorFlow's interface that run when something is asked of them, not when they are imported."""

    def find_spec(self, name, path=None, target=None):
        package, _, part = name.rpartition(".")
        if package != INTERFACE or part in AT_ONCE:
            return None
        with contextlib.suppress(ImportError):  # another release may have none
            importlib.import_module(_WRAPPERS)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextlib.contextmanager
def imported_late():
    """What `_LateImport` finds meanwhile runs when it is first used."""
    finder = _LateImport()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def stand_ins(modules):
    """Those of the modules that have not been imported are other objects as long as this lasts.

    Args:
      modules: dict of name to object; None: Python says that there is no such module.
    """
    new = {name: stand_in for name, stand_in in modules.items() if name not in sys.modules}
    sys.modules.update(new)
    try:
        yield
    finally:
        for name in new:
            del sys.modules[name]


@contextlib.contextmanager
def without_start_up_lines():
    """Leave `_START_UP_LINES` out of what C++ code writes to standard error meanwhile.

    A process of its own reads it, so that the last words of a crash are shown too. Where that cannot be started, or
    with TF_CPP_MIN_LOG_LEVEL=0 or 1, all is shown.
    """
    if sys.stderr is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "") in ("0", "1"):  # None: it is closed
        yield
        return
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    sys.stderr.flush()
    with open(os.dup(2), "wb") as shown:
        try:
            reader = subprocess.Popen(["grep", "--line-buffered", "-a", "-v", "-E", _START_UP_LINES],
                                      stdin=subprocess.PIPE, stdout=shown,
                                      start_new_session=True)  # Ctrl-C is not meant for it
        except OSError:
            yield
            return
        os.dup2(reader.stdin.fileno(), 2)
        reader.stdin.close()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown.fileno(), 2)
            reader.wait()


def _without_extras(of):
    return stand_ins(dict.fromkeys(HIDDEN[of]))


@contextlib.contextmanager
def _lean_and_quiet():
    with without_start_up_lines(), _without_extras("tensorflow"), imported_late():
        yield
        # TensorFlow Lite's folder has the name of its interface, whose place in `tensorflow` it would take where it is
        # imported later. So it is imported now, empty as it is, and the interface put back.
        with contextlib.suppress(AttributeError, ImportError):
            interface = sys.modules["tensorflow"].lite
            importlib.import_module("tensorflow.lite")
            sys.modules["tensorflow"].lite = interface


def install():
    """From now on, the first import of TensorFlow is quiet, and those of it and of Keras leave out `HIDDEN`.

    What is left out can be imported after it.
    """
    waiting = {finder.name for finder in sys.meta_path if isinstance(finder, _FirstImport)}
    for name, context in (("tensorflow", _lean_and_quiet), ("keras", functools.partial(_without_extras, "keras"))):
        if name not in sys.modules and name not in waiting:
            sys.meta_path.insert(0, _FirstImport(name, context))
