"""What nobody may get in by: code in data, shells, networks, other people's eyes. docs/reliability.md, "Security".

One pickle there is: Horovod's `broadcast_object` and `allgather_object`, and the workers of a data command, pickle
small values between the processes of one run. They come from this program alone, never from a file or a stranger.
"""

import os
import pathlib
import re
import subprocess

import pytest
from conftest import ROOT, run_command
from pretraining_runs import flags
from small_corpus import make_documents, make_tokenizer, write_documents
from small_tasks import labelled_texts, write_tsv
from source_rules import violations

SCRIPTS = [path for path in (ROOT / "bin").iterdir() if path.is_file()]
PYTHON = sorted([*(ROOT / "albert_hvd").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"),
                 *(ROOT / "requirements").glob("*.py"), *(ROOT / "slurm").glob("*.py"),
                 *(path for path in SCRIPTS if "python" in path.read_text().split("\n")[0] or path.suffix == ".py")])
SHELL = sorted([*(ROOT / "slurm").glob("*.sh"), *(ROOT / "tests" / "integration").glob("*.sh"), ROOT / ".ci" / "run",
                *(path for path in SCRIPTS if "bash" in path.read_text().split("\n")[0])])


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_keeps_the_rules(path):
    assert violations(path.read_text(encoding="utf-8")) == []


def test_all_of_the_source_is_looked_at():
    names = {str(path.relative_to(ROOT)) for path in PYTHON + SHELL}
    assert {"bin/pretrain", "bin/setup", "bin/entry_point.py", "albert_hvd/runtime/files.py", "benchmarks/train.py",
            "slurm/launch.sh"} <= names
    assert {path.name for path in SCRIPTS} == {pathlib.Path(name).name for name in names if name.startswith("bin/")}


@pytest.mark.parametrize("line", [
    "import pickle", "from marshal import loads", "import urllib.request", "from http import client", "eval('1')",
    "exec(text)", "os.system('ls')", "from os import popen", "subprocess.run(words, shell=True)",
    "subprocess.Popen(f'cp {path} there')", "import yaml", "numpy.load(path, allow_pickle=True)", "torch.load(path)",
    "torch.load(path, weights_only=False)", "tempfile.mktemp()", "tempfile.NamedTemporaryFile()",
    "socket.create_connection((host, 80))", "socket.socket(socket.AF_INET)", "socket.socket()",
    "os.chmod(path, 0o777)"])
def test_a_broken_rule_is_found(line):
    assert len(violations(f"def function():\n    {line}")) == 1


@pytest.mark.parametrize("line", [
    "re.compile('a')", "subprocess.run(['cp', path], check=True)", "tempfile.TemporaryFile()", "json.load(file)",
    "torch.load(path, weights_only=True)", "socket.socket(socket.AF_UNIX)", "socket.gethostname()", "os.remove(path)"])
def test_what_is_allowed_is_not_found(line):
    assert violations(line) == []


def test_named_temporary_folders_are_for_benchmarks_alone():
    """All else is written beside its place under a name with a dot, or has no name."""
    users = {path.relative_to(ROOT).parts[0] for path in PYTHON if "TemporaryDirectory(" in path.read_text()}
    assert users == {"benchmarks"}


def unquoted(text):
    """The variables of a shell script that stand where the shell would take them apart."""
    text = re.sub(r"<<'(\w+)'.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    quoted_or_comment = r"""\\.|(?<!\S)#.*|'[^']*'|"(?:\\.|\$\([^()]*\)|[^"])*\""""
    text = re.sub(quoted_or_comment, "", text)
    text = re.sub(r"\$\(\(.*?\)\)|\[\[ .*? \]\]|<<<\S+", "", text)
    text = re.sub(r"(^|[\s;({])\w+\+?=\$\{?\w+\}?(:-[^\s}]*\}|[^\s;()]*)", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"\bcase \S+ in", "", text)
    # A number, or the count of a list.
    return [word for word in re.findall(r"\$(?:\w+|\{[^}]*\})", text) if not re.match(r"\$\{#|\$\?", word)]




@pytest.mark.parametrize("path", SHELL, ids=lambda path: str(path.relative_to(ROOT)))
def test_shell_scripts_quote_their_variables(path):
    text = path.read_text(encoding="utf-8")
    assert "\nset -euo pipefail\n" in text and not re.search(r"^\s*eval\b", text, re.MULTILINE)
    assert unquoted(text) == []
    assert subprocess.run(["bash", "-n", path], capture_output=True).returncode == 0


def test_an_unquoted_variable_is_found():
    script = 'cp "$from" $to\nx=$from\nrm "${list[@]}" # $this\n[[ $x == y ]] && echo "a $b" ${c}d\n'
    assert unquoted(script) == ["$to", "${c}"]


HOSTILE = "a b; touch pwned $(touch pwned) `touch pwned` \" ' *"


def test_names_with_shell_signs_are_names(tmp_path):
    """As paths of records, through the script that copies them to a node's disk, and as words of a rank's command."""
    source, scratch = tmp_path / HOSTILE, tmp_path / "local disk"
    source.mkdir()
    (source / "train.tfrecord").write_text("records")
    script = [ROOT / "slurm" / "stage_data.sh", f"{tmp_path}/a*/train.tfrecord", scratch]
    result = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (staged,) = scratch.glob(f"*{source}/train.tfrecord")
    assert staged.read_text() == "records"
    (tmp_path / "logs here").mkdir()
    result = subprocess.run([ROOT / "slurm" / "rank.sh", tmp_path / "logs here", "printf", "%s", HOSTILE], cwd=tmp_path,
                            capture_output=True, text=True)
    assert result.stdout == HOSTILE
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([HOSTILE, "local disk", "logs here"])


def test_output_has_the_modes_of_the_umask(training_files, tmp_path):
    """Nobody may read what the umask keeps from him, and everybody what it does not."""
    make_tokenizer(tmp_path)
    write_documents(tmp_path / "text.txt", make_documents(30))
    write_tsv(tmp_path / "emotions.tsv", labelled_texts(20))
    lengths = {"max_seq_length": 16, "max_predictions_per_seq": 3}
    config = (training_files / "config.json").read_text().replace('"vocab_size": 50', '"vocab_size": 110')
    (tmp_path / "config.json").write_text(config)
    out = tmp_path / "out"
    records = {"input_file": out / "records" / "train.tfrecord", "bert_config_file": tmp_path / "config.json"}
    run = {**flags(training_files, out / "run", **lengths, num_train_steps=1, num_warmup_steps=1), **records,
           "eval_input_file": records["input_file"], "eval_every_steps": 1}
    for command, command_flags in (
            ("preprocess", {"input_file": tmp_path / "text.txt", "output_file": out / "clean" / "clean.txt"}),
            ("train_tokenizer", {"input_file": tmp_path / "text.txt", "model_prefix": out / "vocabulary" / "malay",
                                 "vocab_size": 110}),
            ("create_pretraining_data", {"input_file": tmp_path / "text.txt", "tokenizer": tmp_path / "small.model",
                                         "output_file": out / "records" / "train.tfrecord", **lengths}),
            ("pretrain", run), ("validate", {**run, "output_dir": out / "run"}),
            ("finetune", {"task": "emotion", "train_file": tmp_path / "emotions.tsv", "init_checkpoint": out / "run",
                          "output_dir": out / "emotion", "max_seq_length": 16, "num_train_epochs": 1}),
            *(("export", {"format": name, "model": out / "run", "output_dir": out / name})
              for name in ("huggingface", "tf1", "saved_model", "tar")),
            ("import_checkpoint", {"from": "huggingface", "input": out / "huggingface",
                                   "output_dir": out / "imported"}),
            ("plot", {"words": [out / "run"]})):
        result = run_command(command, umask=0o026, **command_flags)
        assert result.returncode == 0, result.stderr
    made = sorted(out.rglob("*"))
    assert len(made) > 70
    modes = {str(path.relative_to(out)): oct(os.stat(path).st_mode & 0o777) for path in made}
    assert modes == {str(path.relative_to(out)): "0o751" if path.is_dir() else "0o640" for path in made}
