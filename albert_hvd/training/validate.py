"""Held-out figures of a trained model: the whole file once, written as the old project wrote them."""

import json
import os

from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import WEIGHTS, find_checkpoint, read_state, restore_variables
from albert_hvd.run_folder.layout import EVAL_RESULTS
from albert_hvd.run_folder.logs import write_atomically
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder
from albert_hvd.training.agreement import open_alike
from albert_hvd.training.vocabularies import check_records_of_model

# The lines of eval_results.txt, in the old project's order.
_KEYS = ("global_step", "loss", "masked_lm_accuracy", "masked_lm_loss", "next_sentence_accuracy",
         "next_sentence_loss")


def validate(options):
    """Evaluate a checkpoint and write `eval_results.txt` and `eval_results.json` (rank 0).

    The checkpoint is `init_checkpoint`, else the newest of `output_dir`.

    Args: `options`, `ValidationOptions`.
    Returns:
      dict of the results, equal on all ranks.

    Raises:
      InputError: on every rank, when a flag or a file is not as it must be.
    """
    distributed.initialize(options.use_gpu)
    config, checkpoint, step = distributed.on_rank_0(lambda: _check(options), "check_options")
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.evaluation import FREQUENCY_RECORDS, Evaluator, unigram_loss

    model = AlbertPretrainer(config, None if checkpoint else options.seed)
    variables = named_variables(model)
    if checkpoint:
        distributed.on_rank_0(lambda: restore_variables(variables, checkpoint, WEIGHTS, checkpoint), "restore")
    distributed.broadcast_variables(list(variables.values()))
    dataset = open_alike(lambda: open_records(options.input_file, "input_file", options, config.vocab_size),
                         "input_file")
    results = {"global_step": step, **Evaluator(model, dataset, options.eval_batch_size, options.max_eval_steps)()}
    if options.baseline_input_file and distributed.rank() == 0:
        train_dataset = open_records(options.baseline_input_file, "baseline_input_file", options, config.vocab_size)
        results["unigram_masked_lm_loss"] = unigram_loss(train_dataset, dataset, config.vocab_size, FREQUENCY_RECORDS)
    if distributed.rank() == 0:
        _write(options.output_dir, results)
        print(f"{checkpoint or 'untrained weights'} on {dataset.num_records} records of {options.input_file}:")
        print("".join(f"{key} = {value}\n" for key, value in results.items()), end="", flush=True)
    distributed.barrier()
    return results


def _check(options):
    """Rank 0 finds the checkpoint and checks the files: (config, checkpoint folder or None, step)."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    paths = {option: open_records(getattr(options, option), option, options, config.vocab_size).paths
             for option in ("input_file", "baseline_input_file") if getattr(options, option)}
    if options.untrained:
        make_folder(options.output_dir, "output_dir")
        return config, None, 0
    path, option = ((options.init_checkpoint, "init_checkpoint") if options.init_checkpoint
                  else (options.output_dir, "output_dir"))
    checkpoint = find_checkpoint(path, option)
    state = read_state(checkpoint)
    saved, given = AlbertConfig.from_dict(state.get("config"), checkpoint).to_dict(), config.to_dict()
    differing = [key for key in {**given, **saved} if saved.get(key) != given.get(key)]
    if differing:
        raise InputError(f"{', '.join(differing)} differ from the config of {checkpoint}",
                         "use the run's own config.json", name="bert_config_file", value=options.bert_config_file)
    for name, shards in paths.items():
        check_records_of_model(path, option, shards, name, getattr(options, name))
    make_folder(options.output_dir, "output_dir")
    return config, checkpoint, state["step"]


def _write(output_dir, results):
    lines = [f"{key} = {results[key]}\n" for key in _KEYS]
    write_atomically(os.path.join(output_dir, "eval_results.txt"), "".join(lines))
    write_atomically(os.path.join(output_dir, EVAL_RESULTS), json.dumps(results, indent=2) + "\n")
