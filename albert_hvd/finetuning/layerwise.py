"""Layer-wise learning rates: the nearer to the head, the faster a weight may move.

Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.2. ALBERT's
layers share their weights, so that the stack of them has one depth, whatever their number:

    depth 0   the head, the pooler and the weights of the layers' sum
    depth 1   the shared layer
    depth 2   the embeddings with their mapping to the hidden size

A weight of depth d learns at learning_rate * decay ** d.
"""

_DEPTHS = {"head": 0, "layers": 0, "encoder/pooler": 0, "encoder/layer": 1, "encoder/embeddings": 2}


def depth_of(path):
    """The depth of a variable of a `TaskModel`, by its path."""
    return next(depth for prefix, depth in _DEPTHS.items() if path.startswith(f"{prefix}/"))


def layerwise(optimizer_class, decay):
    """A subclass of an optimizer of `optimization.py` whose learning rate is multiplied by `decay ** depth`."""

    class Layerwise(optimizer_class):

        def build(self, named_variables):
            super().build(named_variables)
            self._factors = {variable.ref(): decay ** depth_of(path) for path, variable in named_variables.items()}

        def _update_variable(self, variable, gradient, learning_rate, step):
            super()._update_variable(variable, gradient, learning_rate * self._factors[variable.ref()], step)

    return Layerwise
