"""Every flag of every command is given every kind of wrong value: exit code 2, one line, nothing left behind.

Commands and flags are found, not listed: a new flag of a number, a choice or yes/no is covered as it is.
A new flag of text must be put into one of the tables below, and a new command into `command_lines`.
"""

import json
import pathlib
import re
import shutil

import pytest
import synthetic_run
from command_server import BIN
from conftest import command_server
from small_corpus import make_documents, write_documents
from small_tasks import labelled_texts, write_tsv
from trained_models import make_config, write_run

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.serving.export import export

COMMANDS = sorted(path.name for path in BIN.iterdir()
                  if path.is_file() and "\n    entry_point.run(" in path.read_text(encoding="utf-8"))
HANG_SEC = 200  # a limit for what must not hang, many times what a refusal takes
HUGE = 10**30

# Text flags that name what is read, with an ending that such a file may have.
READ = {"input_file": ".txt", "eval_input_file": ".tfrecord",
        "eval_token_input_file": ".tfrecord", "baseline_input_file": ".tfrecord", "train_file": ".tsv",
        "valid_file": ".tsv", "test_file": ".tsv", "labels_file": ".txt", "coverage_file": ".txt", "input": ".txt",
        "tokenizer": ".model", "bert_config_file": ".json", "init_checkpoint": "", "model": "", "allreduce": ".json",
        "data_card": ".txt"}
WRITTEN_FILES = ("output_file", "model_prefix", "json", "plot")
WRITTEN_FOLDERS = ("output", "output_dir", "scratch_dir", "runs_dir")
# Text flags of a form of their own, with values that are none.
PARSED = {"task": ["unknown"], "text_column": ["nowhere", "9", "0"], "label_column": ["nowhere", "9", "0"],
          "text_pair_column": ["nowhere"],
          "seeds": ["one", "1,1", "-1", "1,", "99999999999"], "baselines": ["unknown", "all,none"],
          "profile_steps": ["5", "9:3", "a:b", "0:0"], "date": ["yesterday", "2020-13-01"], "encoding": ["klingon"],
          "sizes": ["big", "-1", "nan", "inf"], "precision": ["float8"], "precisions": ["float8", "float32,"],
          "attention": ["unknown", ""], "peer_kernels": ["unknown", ""], "device": ["tpu", ""], "peer": ["nobody"],
          "peer_python": ["/no/python"],
          "recipes": ["unknown", "default,"], "passes": ["0:9", "4", "0.5:1"],
          "sentence_loss_weight": ["0:-1", "half", ""]}
ANY_TEXT = ("name", "text_field", "license", "masked_text", "wandb_project", "mlflow_experiment")
OTHER_NAMES = {"output": "output_dir"}  # which the messages use
# Flags that a command takes because another has them or for another device, and does not look at.
NOT_LOOKED_AT = {"pretrain": {"baseline_input_file"},
                 "validate": {"tokenizer", "eval_input_file", "profile_steps", "passes", "sentence_loss_weight"},
                 "benchmark train": {"configs", "peer_python", "xla_flags"}}  # without a GPU


@pytest.fixture(scope="module")
def server():
    return command_server()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a small good input of each kind, and in wrong/ those that nobody can want."""
    folder = tmp_path_factory.mktemp("inputs")
    write_run(folder / "run", make_config())
    (folder / "config.json").write_text(json.dumps(make_config().to_dict()))
    shutil.copy(folder / "run" / "spiece.model", folder / "small.model")
    export("huggingface", str(folder / "run"), str(folder / "huggingface"))
    write_documents(folder / "text.txt", make_documents(20))
    build(str(folder / "text.txt"), str(folder / "small.model"), str(folder / "rows.tfrecord"), ExampleOptions(16, 3),
          report=lambda line: None)
    write_tsv(folder / "emotions.tsv", labelled_texts(20))
    synthetic_run.write_run(folder / "logs")
    for ending in {*READ.values(), ".tfrecord"}:
        (folder / "wrong" / f"folder{ending}").mkdir(parents=True)
        (folder / "wrong" / f"empty{ending}").write_bytes(b"")
        (folder / "wrong" / f"garbage{ending}").write_bytes(b"\0\xff\xfe{" * 40)
        (folder / "wrong" / f"unreadable{ending}").symlink_to("/proc/self/mem")  # reading it fails, for root as well
    (folder / "wrong" / "full").mkdir()
    (folder / "wrong" / "full" / "file").write_text("in the way")
    return folder


def command_lines(inputs):
    """{command: a good line of it}: (words, flags)."""
    text, rows, config = inputs / "text.txt", inputs / "rows.tfrecord", inputs / "config.json"
    vocabulary, run = inputs / "small.model", inputs / "run"
    lengths = {"max_seq_length": 16, "max_predictions_per_seq": 3}
    records = {"input_file": rows, "bert_config_file": config, **lengths}
    updates = {"num_train_steps": 1, "num_warmup_steps": 1, "train_batch_size": 2}
    pretrain = {**records, **updates, "output_dir": "out"}
    build_records = {"input_file": text, "tokenizer": vocabulary, **lengths, "num_workers": 1, "dupe_factor": 1}
    return {
        "preprocess": ([], {"input_file": text, "output_file": "out.txt", "num_workers": 1}),
        "train_tokenizer": ([], {"input_file": text, "model_prefix": "out", "vocab_size": 100}),
        "create_pretraining_data": ([], {**build_records, "output_file": "out.tfrecord"}),
        "pretrain": ([], pretrain), "validate": ([], {**pretrain, "init_checkpoint": run}),
        "finetune": ([], {"task": "emotion", "train_file": inputs / "emotions.tsv", "init_checkpoint": run,
                          "output_dir": "out", "max_seq_length": 16, "num_train_epochs": 1}),
        "export": ([], {"format": "huggingface", "model": run, "output_dir": "out"}),
        "import_checkpoint": ([], {"from": "huggingface", "input": inputs / "huggingface", "output_dir": "out"}),
        "fill_mask": (["saya <mask>"], {"model": run}),
        "plot": ([inputs / "logs"], {"output_dir": "out"}),
        "predict": ([], {"model": run}),  # no task model, but its flags are looked at first
        "doctor": ([], {"output_dir": "out"}),
        "demo": ([], {"input": text, "output_dir": "out", "num_train_steps": 10, "ranks": 1}),
        "benchmark allreduce": ([], {"model": config}),
        "benchmark checkpoint": ([], {"bert_config_file": config, "max_seq_length": 16, "num_checkpoints": 1}),
        "benchmark data": ([], {**build_records, "repeats": 1}),
        "benchmark encode": ([], {"input_file": text, "model": run}),
        "benchmark fill_mask": ([], {"input_file": text, "model": run}),
        "benchmark finetune": ([], {"task": "emotion", "train_file": inputs / "emotions.tsv", "model": run,
                                    "max_seq_length": 16}),
        "benchmark guard": ([], {"bert_config_file": config, "max_seq_length": 16, "train_batch_size": 4, "rounds": 1,
                                 "steps": 1}),
        "benchmark input": ([], {**records, "seconds": 0.1}),
        "benchmark memory": ([], {"bert_config_file": config, "max_seq_length": 16, "micro_batch_size": 2}),
        "benchmark predict": ([], {"input_file": text, "model": run}),  # no task model either
        "benchmark recipes": ([], {**records, "eval_input_file": rows, "eval_token_input_file": rows, "runs_dir": "out",
                                   "train_minutes": 0.01}),
        "benchmark scaling": ([], {"model": config, "max_seq_length": 16, "measure": False}),
        "benchmark operations": ([], {"bert_config_file": config, "max_seq_length": 16, "train_batch_size": 2}),
        "benchmark startup": ([], {"bert_config_file": config, "max_seq_length": 16, "repeats": 1}),
        "benchmark train": ([], {**records, "train_batch_size": 2, "rounds": 1, "steps": 1})}


def wrong_numbers(flag):
    """Words, numbers of the wrong kind, and numbers beyond the bounds; without a lower one, 0 is it."""
    step = 1 if flag["type"] == "int" else 0.125
    lower, upper = 0 if flag["lower"] is None else flag["lower"], flag["upper"]
    beyond = [lower - step, *([] if upper is None else [upper + step])]
    return ["many", "", *(["1.5", HUGE] if flag["type"] == "int" else ["nan", "inf", "-inf"]), *beyond]


def wrong_files(flag, good, inputs):
    """Paths where no such file is, and files of a wrong content; names of labels may be any."""
    ending = good.suffix if good else READ[flag["name"]]
    any_text = ending == ".txt" and flag["name"] == "labels_file"
    names = ["missing", "folder", "empty", "unreadable", *([] if any_text else ["garbage"])]
    return [inputs / "wrong" / f"{name}{ending}" for name in names]


def wrong_values(command, flag, good, inputs):
    """The values to try; `good` is the flag's in the command's good line, or None."""
    name, blocked = flag["name"], inputs / "text.txt" / "out"
    if flag["type"] in ("int", "float"):
        return wrong_numbers(flag)
    if flag["type"] == "bool":
        return ["maybe", "2"]
    if flag["type"] == "string enum":
        return ["unknown", ""]
    if name in NOT_LOOKED_AT.get(command, ()) or name in ANY_TEXT:
        return []
    if name in PARSED:
        return PARSED[name]
    if name in READ:
        return wrong_files(flag, good, inputs)
    if name in WRITTEN_FILES:
        return [blocked, *([inputs / "wrong" / "full"] if name != "model_prefix" else [])]
    assert name in WRITTEN_FOLDERS, f"bin/{command} --{name}: say in {__file__} which values are wrong"
    taken = [inputs / "wrong" / "full"] if command in ("export", "import_checkpoint") else []
    return [blocked, inputs / "text.txt", *taken]


def fault(server, folder, words, name, value, flags):
    """What is wrong with how the command refuses `--name=value`; None when nothing is."""
    command = words[0]
    given = [f"--{key}={flags[key]}" for key in flags if key != name]
    folder.mkdir()
    result = server.run([*map(str, words), *given, f"--{name}={value}"], str(folder), HANG_SEC)
    code, errors = result.returncode, result.stderr.decode(errors="replace")
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    lines = [line for line in errors.splitlines() if line.strip()]
    named = rf"--{OTHER_NAMES.get(name, name)}\b"
    if isinstance(value, pathlib.Path):
        named += f"|{re.escape(str(value))}"
    if code == 2 and len(lines) == 1 and not left and re.match(rf"{command}: .*({named})", lines[0]):
        shutil.rmtree(folder)
        return None
    return f"{' '.join(map(str, words))} --{name}={value}: exit code {code}, left {left}, said {errors[-1500:]!r}"


def walk(server, inputs, folder, *command):
    """Try all wrong values of all flags of a command, which may be of two words; returns the faults."""
    untouched = sorted(inputs.rglob("*"))
    words, good = command_lines(inputs)[" ".join(command)]
    flags, _ = server.describe(*command)
    cases = [(flag["name"], value) for flag in flags
             for value in wrong_values(" ".join(command), flag, good.get(flag["name"]), inputs)]
    assert cases
    faults = [fault(server, folder / str(number), [*command, *words], name, value, good)
              for number, (name, value) in enumerate(cases)]
    assert sorted(inputs.rglob("*")) == untouched
    return [fault for fault in faults if fault]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "benchmark"])
def test_wrong_values_are_refused_in_one_line(command, server, inputs, tmp_path):
    assert "\n".join(walk(server, inputs, tmp_path, command)) == ""


def test_wrong_values_of_every_benchmark(server, inputs, tmp_path):
    _, benchmarks = server.describe("benchmark")
    assert benchmarks
    for name in benchmarks:
        (tmp_path / name).mkdir()
        assert "\n".join(walk(server, inputs, tmp_path / name, "benchmark", name)) == ""


@pytest.mark.parametrize("words, named", [
    (["--no_such_flag=1"], "no_such_flag"), (["--flagfile=missing.flags"], "missing.flags"),
    (["--xla=1", "surplus"], "'surplus'"), (["--seed"], "--seed")])
def test_words_that_are_no_flags(words, named, server, tmp_path):
    result = server.run(["pretrain", *words], str(tmp_path), HANG_SEC)
    errors = result.stderr.decode()
    assert result.returncode == 2 and errors.count("\n") == 1, errors
    assert errors.startswith("pretrain: ") and named in errors
    assert not list(tmp_path.iterdir())
