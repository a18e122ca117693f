"""`bin/import_checkpoint`: a model of another program as the folder of a run, with weights and no optimizer."""

import dataclasses
import os
import tarfile

from albert_hvd import __version__
from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.run_folder.layout import write_model_files
from albert_hvd.runtime.files import check_free, scratch_folder
from albert_hvd.serving.archives import is_archive, unpack
from albert_hvd.serving.formats.parts import MASKED_LM_HEAD, POOLER, SENTENCE_HEAD
from albert_hvd.serving.formats.sources import kind_of, read_model, warn_of_other_architecture
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer

_PART_NAMES = {POOLER: "pooler", MASKED_LM_HEAD: "masked-LM head", SENTENCE_HEAD: "sentence head"}


def import_checkpoint(options, add=None):
    """Read a model and write `config.json`, `checkpoints/step_00000000` and, when it is known, `spiece.model`.

    The folder appears under its name only when everything is in it. Its step is 0: no update of this
    program was made.

    Args:
      options: `options.ImportOptions`.
      add: function of (folder of the run, `ModelSource`, `Tokenizer` or None) that adds to the run before it appears,
        and returns lines of what it did, and the names of the tensors that it took.

    Returns:
      list of str: what was done, a line each.

    Raises:
      InputError: see `sources.read_model` and `archives.unpack`; or `from` says another kind than what
        is found, or `output_dir` holds something.
    """
    config = None
    if options.bert_config_file:
        if options.kind != "tf1":
            raise InputError("a Hugging Face folder has its own config.json", "leave the flag out",
                             name="bert_config_file", value=options.bert_config_file)
        config = AlbertConfig.from_json_file(options.bert_config_file)
    check_free(options.output_dir)
    # An archive is unpacked beside the run, where there must be room anyway.
    with scratch_folder(options.output_dir) as scratch:
        source = _read(options, config, scratch)
        tokenizer = _tokenizer(source, options)
        run = os.path.join(scratch, "run")
        _write_run(run, source, tokenizer, options)
        added, taken = add(run, source, tokenizer) if add else ([], ())
        source = dataclasses.replace(source, left_out=tuple(name for name in source.left_out if name not in taken))
        os.rename(run, options.output_dir)  # onto an empty folder too
    return [*_report(source, tokenizer, options), *added]


def _read(options, config, scratch):
    """The `ModelSource` that `input` names; an archive is unpacked into `scratch`."""
    path = options.input
    if is_archive(path):
        path = os.path.join(scratch, "unpacked")
        os.mkdir(path)
        unpack(options.input, path)
        path = _innermost(path)
        try:
            return _read_as(options, path, config)
        except InputError as error:  # which names a folder that will be gone
            problem, fix, value = (part and str(part).replace(path, options.input)
                                   for part in (error.problem, error.fix, error.value))
            raise InputError(problem, fix, name=error.name, value=value) from None
    if os.path.isfile(path) and tarfile.is_tarfile(path):
        raise InputError("an archive that is not compressed", "unpack it, or compress it with gzip", name="input",
                         value=path)
    return _read_as(options, path, config)


def _read_as(options, path, config):
    kind = kind_of(path, "input")
    if kind == "run":
        raise InputError("it is a run of this program already",
                         f"use it as it is, with {parameter('init_checkpoint')} or {parameter('output_dir')}",
                         name="input", value=options.input)
    if kind != options.kind:
        raise InputError(f"{options.input} is a model of the kind {kind!r}", f"say {parameter('from')}={kind}",
                         name="from", value=options.kind)
    source = read_model(path, "input", config, options.allow_pickle)
    warn_of_other_architecture(source, options.bert_config_file)
    return source


def _innermost(folder):
    """The folder below those that hold nothing but one folder, as archives of one model do."""
    entries = list(os.scandir(folder))
    return _innermost(entries[0].path) if len(entries) == 1 and entries[0].is_dir() else folder


def _tokenizer(source, options):
    """The vocabulary named or found beside the model; None without one."""
    if not options.tokenizer and not source.tokenizer_path:
        return None
    return fitting_tokenizer(source, options.tokenizer)


def _write_run(folder, source, tokenizer, options):
    state = {"config": source.config.to_dict(), "seed": options.seed,
             "imported": {"kind": source.kind, "input": options.input, "new_variables": source.missing},
             "tokenizers": [tokenizer.sha256] if tokenizer else [], "versions": {"albert_hvd": __version__}}
    weights = {**source.arrays, **_new_variables(source, options.seed)}
    CheckpointFolder(os.path.join(folder, "checkpoints")).save(0, weights, None, state)
    write_model_files(folder, source.config, tokenizer)


def _new_variables(source, seed):
    """First values of what the source lacks: those that training from `seed` would begin with."""
    if not source.missing:
        return {}
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer

    variables = named_variables(AlbertPretrainer(source.config, seed))
    return {path: variables[path].numpy() for path in source.missing}


def _report(source, tokenizer, options):
    parameters = sum(array.size for array in source.arrays.values())
    lines = [f"{options.output_dir}: {len(source.arrays)} variables, {parameters} parameters of "
             f"{options.input} (architecture {source.config.architecture})"]
    lines += [f"not in {options.input}: the {name}; new weights from {setting('seed', options.seed)}"
              for part, name in _PART_NAMES.items() if any(path.startswith(part) for path in source.missing)]
    lines += filter(None, [source.left_out_in_words()])
    if tokenizer is None:
        lines.append(f"no vocabulary beside it: name the SentencePiece model with {parameter('tokenizer')} when text "
                     "is read")
    return lines
