"""Where a run begins: at the newest checkpoint of its folder, at the weights of init_checkpoint, or at new weights."""

from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.initialization import set_neighbour_heads
from albert_hvd.run_folder import checkpoints
from albert_hvd.runtime import distributed
from albert_hvd.serving.formats.sources import kind_of, read_model
from albert_hvd.training.first_weights import OUTPUT_BIAS, facts_of, set_word_vectors, start_from_frequencies

# What a resumed run must have in common with the run before -> the option that decides it.
_FIXED = {"config": "bert_config_file", "num_records": "input_file", "records_fingerprint": "input_file",
          "mixture": "input_file",
          "tokenizers": "input_file", "seed": "seed", "optimizer": "optimizer",
          "pack_sequences": "pack_sequences", "dynamic_masking": "dynamic_masking"}


class Start:
    """Gives a run's variables their first values.

    Args:
      options: `PretrainingOptions`.
      config: `AlbertConfig`.
      dataset: the training records, a `RecordDataset`.
      folder: the run's `CheckpointFolder`.
      variables: {path: variable of the model}.
      slots: {path: variable of the optimizer}.
      state: what a checkpoint of this run would hold now.
    """

    def __init__(self, options, config, dataset, folder, variables, slots, state):
        self._options, self._config, self._dataset, self._folder = options, config, dataset, folder
        self._variables, self._slots, self._state = variables, slots, state

    def restore(self):
        """Read the variables on rank 0 and give them to all ranks; all ranks must call it.

        Returns:
          (the checkpoint's state, or None when the run is new; where the weights come from, in words).

        Raises:
          InputError: the folder holds another run, or `init_checkpoint` another model or none.
        """
        found = distributed.on_rank_0(self._restore_on_rank_0, "restore")
        distributed.broadcast_variables([*self._variables.values(), *self._slots.values()])
        return found

    def _restore_on_rank_0(self):
        self._folder.remove_unfinished()
        state = self._folder.newest_valid()
        if state is not None:
            self._resume(state)
            return state, f"resuming at step {state['step']}"
        if self._options.init_checkpoint:
            return None, self._load_weights(self._options.init_checkpoint, "init_checkpoint")
        return None, self._make_weights()

    def _resume(self, state):
        output_dir = self._options.output_dir
        if checkpoints.OPTIMIZER not in state["sha256"]:
            raise InputError("its checkpoint holds weights without the state of an optimizer",
                             f"train from it in a new folder, with {parameter('init_checkpoint')}={output_dir}",
                             name="output_dir", value=output_dir)
        self._check_state(state)
        self._folder.mark_best(state.get("evaluations", {}).get("best_step"))
        path = self._folder.path(state["step"])
        for name, variables in ((checkpoints.WEIGHTS, self._variables), (checkpoints.OPTIMIZER, self._slots)):
            checkpoints.restore_variables(variables, path, name, setting("output_dir", output_dir))

    def _check_state(self, state):
        """A resumed run must continue with the same model, data order and optimizer."""
        output_dir = self._options.output_dir
        for key, option in _FIXED.items():
            now = self._state[key]
            if key == "tokenizers" and not (now and state.get(key)):  # records without a manifest do not say
                continue
            before = state.get(key, [] if key == "mixture" else now)  # older checkpoints have fewer keys
            if key == "records_fingerprint" and self._dataset.is_described_by(before):
                continue
            if key == "config" and before != now:  # which may have other names for the same
                before = AlbertConfig.from_dict(before, output_dir).to_dict()
            if before != now:
                raise InputError(f"{key} is {_difference(now, before)} in the run that "
                                 f"{parameter('output_dir')}={output_dir} holds",
                                 "set it back, or start a new folder with "
                                 f"{parameter('init_checkpoint')}={output_dir}", name=option)

    def _load_weights(self, path, option):
        """Read the model's weights from anything that `sources.read_model` knows; returns what was read, in words.

        What the source lacks keeps its first values, and is named in these words.
        """
        if kind_of(path, option) == "run":
            checkpoint = checkpoints.find_checkpoint(path, option)
            checkpoints.restore_variables(self._variables, checkpoint, checkpoints.WEIGHTS, setting(option, path))
            config = AlbertConfig.from_dict(checkpoints.read_state(checkpoint).get("config"), checkpoint)
            _check_same_sizes(self._config, config, setting(option, path))
            return f"weights of {path}"
        source = read_model(path, option, config=self._config)
        _check_same_sizes(self._config, source.config, setting(option, path))
        for name, array in source.arrays.items():
            self._variables[name].assign(array)
        if OUTPUT_BIAS in source.missing:
            start_from_frequencies(self._variables, self._config, self._dataset)
        notes = [f"new: {', '.join(source.missing)}"] if source.missing else []
        notes += filter(None, [source.left_out_in_words()])
        return f"weights of {path}" + (f" ({'; '.join(notes)})" if notes else "")

    def _make_weights(self):
        """Give the drawn weights what is known before the first update; returns where they come from, in words."""
        options = self._options
        start_from_frequencies(self._variables, self._config, self._dataset)
        if options.initialization == "neighbours":
            set_neighbour_heads(self._variables, self._config)
        facts = facts_of(self._dataset, self._config, options.seed, options.word_vectors)
        if options.word_vectors:
            set_word_vectors(self._variables, self._config, facts.word_vectors)
        facts.write(options.output_dir)
        parts = ["neighbour heads"] * (options.initialization == "neighbours") + ["word vectors"] * options.word_vectors
        return (f"new weights{' with ' * bool(parts)}{' and '.join(parts)}; {facts.num_tokens / 1e6:.2f} M tokens of "
                f"{facts.num_records} records were counted")


def _check_same_sizes(config, other, source):
    """Dropout and the like may differ from the source's; what its weights mean may not."""
    free = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
    now, before = ({key: value for key, value in values.to_dict().items() if key not in free}
                   for values in (config, other))
    if now != before:
        raise InputError(f"its config differs from {parameter('bert_config_file')}: {_difference(now, before)}",
                         "give the config that belongs to it", value=source)


def _difference(now, before):
    """"x now and y" for two values, or for the keys in which two dicts differ."""
    if isinstance(now, dict):
        keys = [key for key in {**now, **before} if now.get(key) != before.get(key)]
        now, before = ({key: values.get(key) for key in keys} for values in (now, before))
    return f"{now} now and {before}"
