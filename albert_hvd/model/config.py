"""The model's configuration: the JSON files of `albert_config/` and of the old project."""

import dataclasses
import json

from albert_hvd.errors import InputError, setting

ARCHITECTURES = ("albert", "brightmart")

_LARGEST_SIZE = 2**31 - 1

# Where the norms are in a config that does not say so: albert has no other place for them; the old project's
# configs have no such key, while those of brightmart's own models say "postln".
LN_TYPES = {"albert": "postln", "brightmart": "preln"}

# Keys that configs of the old project, of brightmart and of google-research/albert carry, each with the values that
# say what is computed here anyway. None: with any value, for no code of these projects reads the key.
_IGNORED_KEYS = {
    "directionality": ("bidi",), "pooler_fc_size": None, "pooler_num_attention_heads": None,
    "pooler_num_fc_layers": None, "pooler_size_per_head": None, "pooler_type": None,
    "num_hidden_groups": (1,), "inner_group_num": (1,), "net_structure_type": (0,),
    "gap_size": (0,), "num_memory_blocks": (0,), "down_scale_factor": (1,), "layers_to_keep": ([], None),
    "classifier_dropout_prob": None,  # of the head of a task in fine-tuning, which has its own option here
}

# What `ops.ACTIVATIONS` computes.
HIDDEN_ACTS = ("gelu", "gelu_new", "gelu_erf", "relu")


@dataclasses.dataclass(frozen=True)
class AlbertConfig:
    """Sizes and rates of one model; the field names are those of the JSON file.

    Attributes:
      vocab_size: number of pieces V.
      embedding_size: width E of the factorised word embeddings.
      hidden_size: width H of the encoder; a multiple of num_attention_heads.
      num_hidden_layers: how often the one shared layer is applied.
      num_attention_heads: heads per layer.
      intermediate_size: width F of the feed-forward layer.
      max_position_embeddings: longest row that the model can read.
      type_vocab_size: number of segment ids.
      hidden_act: one of `HIDDEN_ACTS`: "gelu" or "gelu_new", the tanh approximation; "gelu_erf", the function itself
        (Hugging Face's "gelu"); "relu".
      hidden_dropout_prob, attention_probs_dropout_prob: rates in [0, 1).
      initializer_range: standard deviation of the truncated normal initialiser.
      layer_norm_epsilon: added to the variance.
      architecture: "albert" (google-research/albert v2) or "brightmart" (the old project).
      ln_type: "postln", each sublayer's sum with its input is normalised, or "preln", its input is; None: see
        `LN_TYPES`. "albert" has "postln" alone.
    """

    vocab_size: int
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_epsilon: float = 1e-12
    architecture: str = "albert"
    ln_type: str = None

    @property
    def head_size(self):
        return self.hidden_size // self.num_attention_heads

    @property
    def is_pre_norm(self):
        """Whether sublayers normalise their input, and not their sum with it."""
        return (self.ln_type or LN_TYPES[self.architecture]) == "preln"

    @classmethod
    def from_json_file(cls, path, option="bert_config_file"):
        """Read and check a config file.

        Raises:
          InputError: naming the file, the key and its value.
        """
        try:
            with open(path, encoding="utf-8") as file:
                values = json.load(file)
        except FileNotFoundError:
            raise InputError("no such file", "configs are in albert_config/", name=option, value=path) from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot be read as JSON ({error})", "fix the file", name=option, value=path) from None
        return cls.from_dict(values, source=setting(option, path))

    @classmethod
    def from_dict(cls, values, source="config"):
        """Build from a parsed JSON object; `source` names it in error messages."""
        if not isinstance(values, dict):
            raise InputError(f"a JSON object is wanted, found {type(values).__name__}", value=source)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        known = {}
        for key, value in values.items():
            if key in fields:
                known[key] = _checked_type(source, fields[key], value)
            elif key not in _IGNORED_KEYS:
                raise InputError(f"unknown key {key!r} (value {value!r})", f"known keys: {', '.join(sorted(fields))}",
                                 value=source)
            elif _IGNORED_KEYS[key] is not None and value not in _IGNORED_KEYS[key]:
                raise InputError(f"{key} = {value!r} is not supported, only {_IGNORED_KEYS[key][0]!r} is",
                                 "give such a model", value=source)
        if "vocab_size" not in known:
            raise InputError("vocab_size is missing", "set it to the vocabulary's size", value=source)
        if known.get("ln_type") == "preln":
            known.setdefault("architecture", "brightmart")  # which alone has it
        if known.get("hidden_act") == "gelu_new":
            known["hidden_act"] = "gelu"  # the same under another name, so that configs can be compared
        config = cls(**known)
        config._check_ranges(source)
        config.check_norms(source)
        return config

    def to_dict(self):
        """What `from_dict` makes the config from; without `ln_type` where it is the architecture's own."""
        values = dataclasses.asdict(self)
        if self.ln_type in (None, LN_TYPES[self.architecture]):
            del values["ln_type"]
        return values

    def check_norms(self, source):
        """InputError, naming `source`, for a `ln_type` that the architecture does not have."""
        choices = {"albert": ("postln",), "brightmart": ("postln", "preln")}[self.architecture]
        if self.ln_type not in (None, *choices):
            raise InputError(f"ln_type = {self.ln_type!r} is not computed with architecture = {self.architecture!r}",
                             f"give {' or '.join(choices)}", value=source)

    def _check_ranges(self, source):
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers",
                     "num_attention_heads", "intermediate_size", "max_position_embeddings",
                     "type_vocab_size"):
            if not 1 <= getattr(self, name) <= _LARGEST_SIZE:
                raise InputError(f"{name} = {getattr(self, name)} must be from 1 to {_LARGEST_SIZE}", value=source)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} must be in [0, 1)", value=source)
        for name in ("initializer_range", "layer_norm_epsilon"):
            if not 0 < getattr(self, name) < 10:
                raise InputError(f"{name} = {getattr(self, name)} must be a small number above 0", value=source)
        if self.hidden_size % self.num_attention_heads:
            raise InputError(f"hidden_size = {self.hidden_size} must be a multiple of num_attention_heads = "
                             f"{self.num_attention_heads}", value=source)
        if self.hidden_act not in HIDDEN_ACTS:
            raise InputError(f"hidden_act = {self.hidden_act!r} is not supported",
                             f"use one of {', '.join(HIDDEN_ACTS)}", value=source)
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"architecture = {self.architecture!r} is unknown",
                             f"use one of {', '.join(ARCHITECTURES)}", value=source)


def _checked_type(source, field, value):
    """`value` as the field's type; an integer may stand for a float, a bool for nothing, null for no value."""
    if value is None and field.default is None:
        return None
    wanted = {int: int, float: (int, float), str: str}[field.type]
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise InputError(f"{field.name} = {value!r} must be of type {field.type.__name__}", value=source)
    try:
        return field.type(value)
    except OverflowError:
        raise InputError(f"{field.name} = {value} is too large for a {field.type.__name__}",
                         "give a smaller number", value=source) from None
