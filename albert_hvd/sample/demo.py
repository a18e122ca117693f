"""The main job from end to end, as the commands that a user would type, each shown before it runs."""

import json
import os
import shlex
import subprocess
import time

from albert_hvd.data.text.corpus import plan_blocks, read_block
from albert_hvd.errors import (EXIT_BAD_INPUT, EXIT_STOPPED, InputError, RunFailed, StoppedBySignal, as_flags, command,
                               parameter)
from albert_hvd.run_folder.layout import EVAL_RESULTS, TRAIN_LOG
from albert_hvd.run_folder.logs import read_log
from albert_hvd.runtime.files import check_readable, make_folder
from albert_hvd.runtime.tables import aligned
from albert_hvd.sample.rank_output import run_ranks
from albert_hvd.sample.sample_run import (MAX_PREDICTIONS_PER_SEQ, MAX_SEQ_LENGTH, SAMPLE_EVAL, SAMPLE_TRAIN,
                                          split_documents, vocab_size_for, write_tiny_config)


class Demo:
    """One run of the demonstration.

    Args:
      root: the checkout, whose `bin/` holds the commands.
      folder: where everything goes.
      input_files: the user's text files; without any, the shipped sample.
      ranks: how many ranks train.
      num_train_steps: updates.
    """

    def __init__(self, root, folder, input_files, ranks, num_train_steps):
        self._root, self._folder = root, folder
        self._input_files = input_files
        self._ranks, self._num_train_steps = ranks, num_train_steps

    def run(self):
        """Run all stages and print the table.

        Raises:
          InputError: an input file is missing, or a stage refused its input.
          StoppedBySignal: after SIGTERM or SIGINT while it trained, with a checkpoint saved.
        """
        started = time.monotonic()
        self._check_input()
        make_folder(self._folder, "output_dir")
        train_text, eval_text = self._texts()
        config = self._build_data(train_text, eval_text)
        model, untrained = self._path("model"), self._path("untrained")
        rows = dict(max_seq_length=MAX_SEQ_LENGTH, max_predictions_per_seq=MAX_PREDICTIONS_PER_SEQ)
        held_out = dict(input_file=self._path("eval.tfrecord"), bert_config_file=config, **rows)
        train_records = self._path("train.tfrecord")
        self._command("validate", **held_out, output_dir=untrained, untrained=True,
                      baseline_input_file=train_records)
        self._command("pretrain", ranks=self._ranks, input_file=train_records, bert_config_file=config, **rows,
                      output_dir=model, pack_sequences=True, train_batch_size=12 * self._ranks,
                      num_train_steps=self._num_train_steps,
                      save_checkpoints_steps=100, log_every_steps=10)
        self._command("validate", **held_out, output_dir=model)
        print(self._table(untrained, model, config, time.monotonic() - started))

    def _check_input(self):
        """InputError, before anything is written, for an input file that is missing or when none holds text."""
        for path in self._input_files:
            if not os.path.isfile(path):
                raise InputError("no such file", "name text files, separated by commas", name="input", value=path)
            check_readable(path, "input")
        blocks = plan_blocks(self._input_files, option="input")
        if self._input_files and not any(read_block(block)[0] for block in blocks):
            raise InputError("no text in it", "name files with some sentences", name="input",
                             value=",".join(self._input_files))

    def _texts(self):
        """The training and held-out text files: the sample's, or the user's own, split."""
        if not self._input_files:
            return SAMPLE_TRAIN, SAMPLE_EVAL
        return split_documents(self._input_files, self._folder)

    def _build_data(self, train_text, eval_text):
        """Clean, learn a vocabulary, write records; returns the path of the model's config."""
        for part, files in (("train", train_text), ("eval", eval_text)):
            self._command("preprocess", input_file=",".join(files), output_file=self._path(f"{part}.txt"))
        tokenizer = self._path("vocabulary")
        self._command("train_tokenizer", input_file=self._path("train.txt"), model_prefix=tokenizer,
                      vocab_size=vocab_size_for(os.path.getsize(self._path("train.txt"))))
        for part, dupe_factor in (("train", 10), ("eval", 1)):
            self._command("create_pretraining_data", input_file=self._path(f"{part}.txt"),
                          tokenizer=f"{tokenizer}.model", output_file=self._path(f"{part}.tfrecord"),
                          max_seq_length=MAX_SEQ_LENGTH, max_predictions_per_seq=MAX_PREDICTIONS_PER_SEQ,
                          dupe_factor=dupe_factor)
        config = self._path("config.json")
        write_tiny_config(os.path.join(self._root, "albert_config"), f"{tokenizer}.model", config)
        print("(config.json is albert_config/albert_config_tiny.json with this vocabulary's size)\n", flush=True)
        return config

    def _path(self, name):
        return os.path.join(self._folder, name)

    def _command(self, name, ranks=0, **flags):
        """Show a command of `bin/` as a user would type it, and run it; its failure is ours."""
        launcher = ["horovodrun", "-np", str(ranks)] if ranks else []
        program = os.path.relpath(os.path.join(self._root, "bin", name))
        words = [*launcher, program, *as_flags(**flags)]
        print(f"$ {shlex.join(words)}", flush=True)
        code = run_ranks(words) if ranks else subprocess.run(words).returncode
        if code == EXIT_STOPPED:
            print("(stopped, with a checkpoint; the same command goes on from there)", flush=True)
            raise StoppedBySignal
        if code:
            error = InputError if code == EXIT_BAD_INPUT else RunFailed
            raise error(f"{program} ended with exit code {code} (see above); fix that and run bin/demo again")
        print(flush=True)

    def _table(self, untrained, model, config, seconds):
        before, after = (self._results(folder) for folder in (untrained, model))
        last = read_log(os.path.join(model, TRAIN_LOG))[-1]
        unigram = before["unigram_masked_lm_loss"]
        rows = [("", "before", "after", "piece frequencies alone"),
                ("held-out MLM loss", f"{before['masked_lm_loss']:.3f}", f"{after['masked_lm_loss']:.3f}",
                 f"{unigram:.3f}"),
                ("held-out MLM accuracy", f"{before['masked_lm_accuracy']:.4f}",
                 f"{after['masked_lm_accuracy']:.4f}", ""),
                ("held-out sentence accuracy", f"{before['next_sentence_accuracy']:.3f}",
                 f"{after['next_sentence_accuracy']:.3f}", "0.500")]
        again = command("pretrain", input_file=self._path("train.tfrecord"), bert_config_file=config, output_dir=model)
        return "\n".join([
            *aligned(rows), "",
            f"{last['step']} steps on {self._ranks} ranks, {last['real_tokens_per_sec']:.0f} real tokens/s, "
            f"{seconds:.0f} s in all",
            f"files: {self._folder}/  (vocabulary.model, *.tfrecord, model/checkpoints, model/train_log.jsonl, "
            f"model/tensorboard)",
            f"next:  {command('demo', input='your.txt')}     the same on your own text",
            f"       horovodrun -np {self._ranks} {again} ... with more {parameter('num_train_steps')} continues from "
            f"here",
        ])

    @staticmethod
    def _results(folder):
        with open(os.path.join(folder, EVAL_RESULTS), encoding="utf-8") as file:
            return json.load(file)
