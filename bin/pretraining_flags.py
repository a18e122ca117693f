"""What `bin/pretrain` and `bin/validate` share: each takes the flags of both, so that old command lines stay valid."""

import dataclasses
import os

from absl import flags

import entry_point
import option_flags
from albert_hvd.errors import InputError
from albert_hvd.options import option
from albert_hvd.training.options import PretrainingOptions, ValidationOptions

flags.disclaim_key_flags()  # --help shows them as flags of the command


@dataclasses.dataclass(frozen=True)
class Parts:
    """What `bin/pretrain` does."""

    do_train: bool = option(True, "Train.")
    do_eval: bool = option(False, "After training, validate on --eval_input_file, or on --input_file without one.")


def define():
    """Define the flags; which of them must be given depends on --input_file."""
    option_flags.define(PretrainingOptions, ValidationOptions, Parts, required=False)


def values_or_sample(held_out=False):
    """The flags' values; without --input_file those of the shipped sample, announced in one line.

    Args:
      held_out: whether the command reads the sample's held-out records.

    Raises:
      InputError: --input_file without --output_dir or --bert_config_file.
    """
    values = flags.FLAGS.flag_values_dict()
    if values["input_file"] is None:
        from albert_hvd.runtime import distributed
        from albert_hvd.sample import sample_run

        folder = os.path.join("runs", "sample")
        if entry_point.launched_rank() == 0:
            print(f"no --input_file: using the shipped sample and a tiny model in {folder}/", flush=True)
        distributed.initialize(values["use_gpu"], timeline=bool(values["profile_steps"]))
        settings = distributed.on_rank_0(
            lambda: sample_run.settings(folder, os.path.join(entry_point.ROOT, "albert_config"), held_out), "sample")
        # What the user did give goes before the sample's settings.
        values.update({name: value for name, value in settings.items() if not flags.FLAGS[name].present})
    for name in ("output_dir", "bert_config_file"):
        if not values[name]:
            raise InputError(f"--{name} is missing; it goes with --input_file")
    return values
