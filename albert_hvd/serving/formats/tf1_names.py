"""Variable names of published TensorFlow 1 checkpoints, brought to those of google-research/albert's first release.

* TF-Hub's modules put "module/" before every name.
* google-research/albert under TensorFlow 2 makes its norms with Keras: `layer_normalization_3`, numbered through the
  whole graph, in a scope for each layer (`group_0_2/layer_2/inner_group_0`). Keras does not share them, so each layer
  may have norms of its own under several stored names for one variable here.
"""

import collections
import re

_MODULE = "module/"
_KERAS_NORM = re.compile(r"(.*)/layer_normalization(?:_(\d+))?(/.*)")
_LAYER_SCOPE = re.compile(r"/group_0(?:_\d+)?/layer_\d+/inner_group_0/")
_NORMS_OF_A_LAYER = ("LayerNorm", "LayerNorm_1")  # after attention, after the feed-forward part


def canonical_names(names):
    """{name in the first release: [stored names]} of a checkpoint's variables."""
    numbers = collections.defaultdict(set)
    for name in names:
        if match := _KERAS_NORM.fullmatch(name):
            numbers[match[1]].add(int(match[2] or 0))
    found = collections.defaultdict(list)
    for name in sorted(names):
        found[_canonical(name, numbers)].append(name)
    return dict(found)


def _canonical(name, numbers):
    match = _KERAS_NORM.fullmatch(name)
    if match:
        scope, number, rest = match.groups()
        place = sorted(numbers[scope]).index(int(number or 0))
        in_a_layer = scope.endswith("/inner_group_0")
        norm = _NORMS_OF_A_LAYER[place % 2] if in_a_layer else "LayerNorm" if not place else f"LayerNorm_{place}"
        name = f"{scope}/{norm}{rest}"
    return _LAYER_SCOPE.sub("/group_0/inner_group_0/", name.removeprefix(_MODULE))
