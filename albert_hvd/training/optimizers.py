"""The optimizers by name, and a learning rate that depends on how deep a variable lies."""

from albert_hvd.training.muon import Muon
from albert_hvd.training.optimizer import AdamW, Lamb


def layerwise(optimizer_class, decay, depth_of):
    """A subclass of an optimizer whose learning rate for a variable is multiplied by `decay ** depth_of(path)`.

    The nearer to the head, the faster a weight may move: Howard & Ruder, "Universal Language Model Fine-tuning for
    Text Classification" (2018), section 3.2.

    Args:
      depth_of: function of a variable's path.
    """

    class Layerwise(optimizer_class):

        def build(self, named_variables, compiled=False):
            super().build(named_variables, compiled)
            self._factors = {variable.ref(): decay ** depth_of(path) for path, variable in named_variables.items()}

        def _move(self, variable, gradient, now, directions):
            rate = now.learning_rate * self._factors[variable.ref()]
            super()._move(variable, gradient, now._replace(learning_rate=rate), directions)

    return Layerwise


OPTIMIZERS = {"muon": Muon, "lamb": Lamb, "adamw": AdamW}
