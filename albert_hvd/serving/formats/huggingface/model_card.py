"""The model card of an exported model: a README.md from what the run itself wrote down.

Everything in it comes from files: flags.json, train_log.jsonl and eval_results.json of the run, and the
manifest.json beside its records. What they do not say is left out or given as unknown.
"""

import glob
import json
import os

from albert_hvd.data.records.manifest import MANIFEST
from albert_hvd.errors import InputError, command
from albert_hvd.run_folder.layout import EVAL_RESULTS, FLAGS, TRAIN_LOG
from albert_hvd.run_folder.logs import read_log
from albert_hvd.runtime.files import check_readable, read_json_object
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.sources import trained_positions

_RECIPE_FLAGS = ("num_train_steps", "train_batch_size", "max_seq_length", "max_predictions_per_seq", "optimizer",
                 "learning_rate", "lr_schedule", "train_minutes", "num_warmup_steps", "initialization", "word_vectors",
                 "passes", "sentence_loss_weight", "precision", "pack_sequences", "accumulation_steps", "size", "seed")
_LIST_FLAGS = ("input_file", "eval_input_file")

_CITATION = """@inproceedings{lan2020albert,
  title = {{ALBERT}: A Lite {BERT} for Self-supervised Learning of Language Representations},
  author = {Zhenzhong Lan and Mingda Chen and Sebastian Goodman and Kevin Gimpel and Piyush Sharma and Radu Soricut},
  booktitle = {International Conference on Learning Representations},
  year = {2020},
  url = {https://openreview.net/forum?id=H1eA7AEtvS}
}"""


def model_card(folder, config, tokenizer, architecture, options=FolderOptions()):
    """The text of a model card.

    Args:
      folder: where the model came from: a run, one of its checkpoints, or any other folder.
      config: `AlbertConfig`.
      tokenizer: `tokenizer.Tokenizer`.
      architecture: name of the transformers class that the weights are complete for.
      options: `FolderOptions`.

    Raises:
      InputError: no such `data_card`.
    """
    run = run_folder(folder)
    flags = read_json_object(os.path.join(run, FLAGS)) if run else {}
    manifest = _manifest(flags)
    sections = [
        _front_matter(architecture, options.license),
        "# ALBERT for Bahasa Malaysia\n",
        _model_section(config, tokenizer, architecture),
        "## How to load it\n", _loading_section(architecture, tokenizer, options),
        "## Data\n", read_data_card(options), _data_section(manifest),
        "## Recipe\n", _recipe_section(flags, _last_record(run)),
        "## Evaluation\n", _evaluation_section(run),
        "## Intended use\n", "Fine-tuning on tasks in Bahasa Malaysia, such as classification and tagging, and "
                             "filling in masked words.\n",
        "## Limits\n", _limits_section(trained_positions(run or folder, config)),
        "## Citation\n", f"```bibtex\n{_CITATION}\n```\n",
    ]
    return "\n".join(sections)


def run_folder(folder):
    """The run that a folder belongs to: itself, or the one above checkpoints/step_*; None for neither."""
    folder = os.path.abspath(folder)
    if os.path.basename(folder).startswith("step_"):
        folder = os.path.dirname(folder)
    if os.path.basename(folder) == "checkpoints":
        folder = os.path.dirname(folder)
    return folder if os.path.exists(os.path.join(folder, FLAGS)) else None


def _last_record(run):
    path = run and os.path.join(run, TRAIN_LOG)
    records = read_log(path) if path and os.path.exists(path) else []
    return records[-1] if records else {}


def _manifest(flags):
    """The manifest beside the first file of training records, empty when it is out of reach."""
    pattern = str(flags.get("input_file") or "").split(",")[0].strip()
    paths = sorted(glob.glob(pattern)) if pattern else []
    return read_json_object(os.path.join(os.path.dirname(paths[0]), MANIFEST)) if paths else {}


def _front_matter(architecture, license_name):
    lines = ["---", "language:", "- ms"]
    if license_name:
        lines.append(f"license: {json.dumps(license_name)}")
    lines += ["library_name: transformers", "tags:", "- albert", "- bahasa-malaysia", "- masked-lm"]
    lines.append("pipeline_tag: " + ("feature-extraction" if architecture == "AlbertModel" else "fill-mask"))
    return "\n".join([*lines, "---", ""])


def _model_section(config, tokenizer, architecture):
    return (f"An ALBERT of Google's v2 architecture: {config.num_hidden_layers} layers that share their weights, "
            f"hidden size {config.hidden_size}, {config.num_attention_heads} heads, "
            f"embedding size {config.embedding_size}, {config.max_position_embeddings} positions. "
            f"Vocabulary: {tokenizer.vocab_size} SentencePiece pieces, sha256 `{tokenizer.sha256}`. "
            f"The weights are complete for `{architecture}`.\n")


def read_data_card(options):
    """What the user says of the training text: the content of `FolderOptions.data_card`, "" without one."""
    if options.data_card is None:
        return ""
    check_readable(options.data_card, "data_card")
    with open(options.data_card, encoding="utf-8") as file:
        try:
            text = file.read().strip()
        except UnicodeDecodeError:
            raise InputError("not UTF-8", "convert the file first", name="data_card", value=options.data_card) from None
    if not text:
        raise InputError("it is empty", "write where the text is from, or leave it out", name="data_card",
                         value=options.data_card)
    return text + "\n"


def _loading_section(architecture, tokenizer, options):
    own = ["```python", "import albert_hvd", "", 'model = albert_hvd.load("path/to/this/folder")', "```", ""]
    if not options.tokenizer_json:
        makes = command("export", format="huggingface")
        return "\n".join([*own, f"`{makes}` makes a folder of it that transformers loads.", ""])
    auto = {"AlbertForPreTraining": "AutoModelForPreTraining", "AlbertForMaskedLM": "AutoModelForMaskedLM"}
    name = auto.get(architecture, "AutoModel")
    lines = ["```python", f"from transformers import AutoTokenizer, {name}, pipeline", "",
             'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
             f'model = {name}.from_pretrained("path/to/this/folder")']
    if architecture != "AlbertModel":
        mask = tokenizer.piece(tokenizer.mask_id)
        lines.append(f'pipeline("fill-mask", "path/to/this/folder")("Kuala Lumpur ialah ibu {mask} Malaysia")')
    lines += ["```", "", "Load the tokenizer with `AutoTokenizer`: `AlbertTokenizer` would lower-case the text.", ""]
    return "\n".join(lines)


def _data_section(manifest):
    if not manifest:
        return "Unknown: the manifest of the training records was not at hand when this card was made.\n"
    shards = manifest.get("shards", {}).values()
    rows = [("records", sum(shard.get("num_records", 0) for shard in shards)),
            ("real tokens", sum(shard.get("num_real_tokens", 0) for shard in shards))]
    for name, build in sorted(manifest.get("builds", {}).items()):
        rows += [(f"text of {name}", ", ".join(os.path.basename(path) for path in build.get("input_files", [])))]
        rows += [(key, value) for key, value in sorted(build.get("options", {}).items())]
    return _table(("", "training records"), rows)


def _recipe_section(flags, last):
    rows = [(key, flags[key]) for key in _RECIPE_FLAGS if flags.get(key) is not None]
    rows += [(key, ", ".join(os.path.basename(part) for part in flags[key].split(",")))
             for key in _LIST_FLAGS if flags.get(key)]
    rows += [(f"last logged {key}", last[key]) for key in ("step", "loss", "masked_lm_loss", "masked_lm_accuracy",
                                                           "sentence_loss") if key in last]
    return _table(("setting", "value"), rows) if rows else "Unknown: the flags of the run were not at hand.\n"


def _evaluation_section(run):
    """A table of eval_results.json, and one of each copy eval_results_NAME.json that was kept of another evaluation."""
    stem, ending = os.path.splitext(EVAL_RESULTS)
    paths = sorted(glob.glob(os.path.join(glob.escape(run), f"{stem}*{ending}")), key=lambda path: (len(path), path)) if run else []
    tables = []
    for path in paths:
        name = os.path.basename(path).removeprefix(stem).removesuffix(ending).replace("_", " ").strip()
        results = read_json_object(path)
        if results:
            tables.append(_table((f"held-out records{name and f', {name}'}", "value"), results.items()))
    return "\n".join(tables) or "Not evaluated with this program.\n"


def _limits_section(max_seq_length):
    return (f"Texts of more than {max_seq_length} pieces are cut. The model repeats what its training "
            f"text says, prejudice and errors included. It was not tested for any use in which a wrong answer does "
            f"harm.\n")


def _table(head, rows):
    """A Markdown table of two columns."""
    def cell(value):
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return " ".join(text.replace("|", "\\|").split())

    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {cell(key)} | {cell(value)} |" for key, value in rows)]
    return "\n".join(lines) + "\n"
