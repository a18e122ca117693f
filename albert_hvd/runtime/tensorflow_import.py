"""Importing TensorFlow without what Keras would import besides, which no command uses.

TensorFlow imports Keras, and Keras, where they are installed, scikit-learn (with it scipy.stats) for wrappers and
matplotlib for plots of images. That is nearly half of the processor time until a rank is ready. Both are here, for
baselines and curves; Keras does without them where they are not.
"""

import functools
import importlib.util
import sys

HIDDEN = ("matplotlib", "sklearn")


class _KerasFinder:
    """Hides the modules while Keras is imported for the first time; asked before all other finders."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)  # so that the others are asked
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)  # that somebody asks where Keras is does not yet import it
        if spec is not None:
            spec.loader.exec_module = functools.partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, exec_module, module):
        sys.meta_path.remove(self)
        hidden = [name for name in HIDDEN if name not in sys.modules]
        sys.modules.update(dict.fromkeys(hidden))  # None: Python says that there is no such module
        try:
            exec_module(module)
        finally:
            for name in hidden:
                del sys.modules[name]


def install():
    """From now on, the first import of Keras, and so of TensorFlow, leaves out `HIDDEN`; they can be imported after it."""
    if "keras" not in sys.modules and not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())
