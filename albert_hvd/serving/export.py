"""`bin/export`: a trained model in the format that another program reads, or packed to be published."""

import dataclasses
import datetime
import gzip
import os
import tarfile

from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.layout import write_model_files
from albert_hvd.runtime.files import check_free, scratch_folder, whole_file, whole_folder
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.sources import read_model, say_what_is_left_out, warn_of_other_architecture
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer
from albert_hvd.serving.options import FORMATS

# (hidden_size, num_hidden_layers) of the configs in albert_config/.
_SIZES = {(336, 4): "tiny", (768, 12): "base", (1024, 24): "large", (2048, 24): "xlarge", (4096, 12): "xxlarge"}


def export(format_name, model, output_dir, tokenizer=None, date=None, config=None, folder_options=FolderOptions()):
    """Read a model and write it in another format.

    Args:
      format_name: one of `FORMATS`.
      model: a run's folder, one of its checkpoints, a TF1 checkpoint or a Hugging Face folder.
      output_dir: a new or empty folder; for "tar" the folder of the archive.
      tokenizer: SentencePiece .model; None: the one in the model's folder.
      date: "YYYY-MM-DD" in the name of a "tar"; None: today.
      config: JSON file of a TF1 checkpoint's sizes; None: the one beside it.
      folder_options: `FolderOptions` of "huggingface".

    Returns:
      The path of what was written.

    Raises:
      InputError: an unknown format, no model there, a vocabulary that is missing or does not fit, an output
        that exists, or a format that cannot hold the model.
    """
    if format_name not in FORMATS:
        raise InputError("unknown", f"give one of {', '.join(FORMATS)}", name="format", value=format_name)
    date = export_date(date)
    check_folder_options(format_name, folder_options)
    if format_name != "tar":
        check_free(output_dir)
    source = read_model(model, "model", config=config and AlbertConfig.from_json_file(config))
    warn_of_other_architecture(source, config)
    say_what_is_left_out(source)
    if tokenizer:
        fitting_tokenizer(source, tokenizer)  # while the source still knows its own
        source = dataclasses.replace(source, tokenizer_path=tokenizer)
    if format_name == "tar":
        return _export_tar(source, output_dir, date)
    if format_name == "huggingface":
        from albert_hvd.serving.formats.huggingface.export import export_huggingface

        export_huggingface(source, output_dir, folder_options)
        return output_dir
    vocabulary = fitting_tokenizer(source) if source.tokenizer_path else None
    with whole_folder(output_dir, tensorflow_errors()) as folder:
        if format_name == "saved_model":
            from albert_hvd.serving.saved_model import write_saved_model

            write_saved_model(source, folder, vocabulary)
        else:
            _write_tf1(source, folder, vocabulary)
    return output_dir


def package_name(config, date):
    """The old project's kind of name: albert-base-2020-04-10; sizes without a name give albert-h<H>-l<L>."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    return f"albert-{_SIZES.get((hidden, layers), f'h{hidden}-l{layers}')}-{date.isoformat()}"


def _export_tar(source, output_dir, date):
    """`<name>.tar.gz` with one folder of that name: the TF1 checkpoint, its config and vocabulary."""
    tokenizer = fitting_tokenizer(source)
    name = package_name(source.config, date)
    path = os.path.join(output_dir, f"{name}.tar.gz")
    if os.path.exists(path):
        raise InputError(f"{path} exists", f"remove it, or give another folder or {parameter('date')}",
                         name="output_dir", value=output_dir)
    # The parts lie beside the archive, where there must be room anyway, and go away with the block.
    with scratch_folder(os.path.join(output_dir, name), tensorflow_errors()) as folder, \
            whole_file(path, "output_dir") as file:
        _write_tf1(source, folder, tokenizer)
        pack(folder, name, file, date)
    return path


def _write_tf1(source, folder, tokenizer):
    """model.ckpt.*, config.json and, when the vocabulary is known, spiece.model."""
    from albert_hvd.serving.formats.tf1 import write_checkpoint

    arrays = {path: array for path, array in source.arrays.items() if path not in source.missing}
    write_checkpoint(os.path.join(folder, "model.ckpt"), arrays, source.config)
    # A vocabulary without capitals would be taken for one of text in lower case, as Google's are.
    write_model_files(folder, source.config, tokenizer, say_form=bool(tokenizer) and not tokenizer.has_capitals)


def pack(folder, name, file, date):
    """Write the files of `folder` as a gzipped tar whose bytes follow from their content, the name and the date."""
    mtime = int(datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.timezone.utc).timestamp())
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=mtime) as packed, \
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member in sorted(os.listdir(folder)):
            path = os.path.join(folder, member)
            info = tarfile.TarInfo(f"{name}/{member}")
            info.size, info.mtime, info.mode = os.path.getsize(path), mtime, 0o644
            with open(path, "rb") as content:
                archive.addfile(info, content)


def check_folder_options(format_name, options):
    """InputError when `FolderOptions` are set that another format has no place for; a licence may always be named."""
    for field in dataclasses.fields(FolderOptions):
        value = getattr(options, field.name)
        if format_name != "huggingface" and value != field.default and field.name != "license":
            raise InputError(f"{setting('format', format_name)} has no place for it", "leave it out", name=field.name,
                             value=value)


def export_date(text):
    """The date of a text, today for None; InputError when it is none."""
    if text is None:
        return datetime.date.today()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InputError("not a date", "write it as 2020-04-10", name="date", value=text) from None


def tensorflow_errors():
    """What TensorFlow's writers raise when the disk is full."""
    import tensorflow as tf

    return (tf.errors.OpError,)
