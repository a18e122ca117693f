"""Messages in parts: parameters in the library, flags in the commands, the same in every process of one."""

import ast
import pickle
import re

import pytest

from albert_hvd.errors import InputError, as_flags, command, parameter, parameters_as_flags, setting
from albert_hvd.runtime.worker_pool import worker_pool
from conftest import ROOT

MODULES = sorted((ROOT / "albert_hvd").rglob("*.py"))
# Of Slurm, mpirun, grep and bin/setup; a page's style sheet has variables that begin like flags.
FOREIGN = {"--mpi", "--ntasks-per-node", "--constraint", "--exclude", "--gpus-per-node", "--gpus-per-task", "--bind-to",
           "--cpus-per-task", "--mem", "--line-buffered", "--gpu"}
STYLE_SHEET = "reporting/page.py"


def spelled_flags(text):
    """(line, flag) of the strings of a source that spell one, or begin to: not of docstrings and help texts."""
    tree = ast.parse(text)
    free = set()
    for node in ast.walk(tree):
        is_documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_documentation or isinstance(node, ast.Call) and getattr(node.func, "id", "") == "option":
            free.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant) and re.search(r"(^| )--$", part.value):
                yield part.lineno, "--"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in free:
            yield from ((node.lineno, flag) for flag in re.findall(r"--[a-z][\w-]*", node.value) if flag not in FOREIGN)


@pytest.mark.parametrize("error, in_library, in_command", [
    (InputError("no such file"), "no such file", "no such file"),
    (InputError("no such file", "make it"), "no such file; make it", "no such file; make it"),
    (InputError("damaged", "copy it", value="a/b"), "a/b: damaged; copy it", "a/b: damaged; copy it"),
    (InputError("missing", name="seed"), "seed: missing", "--seed: missing"),
    (InputError("too large", "halve it", name="rows", value=10), "rows=10: too large; halve it",
     "--rows=10: too large; halve it"),
    (InputError("empty", name="rows", value=""), "rows=: empty", "--rows=: empty"),
    (InputError("too few", name="rows", value=0), "rows=0: too few", "--rows=0: too few")])
def test_a_line_names_the_parameter_or_in_a_command_the_flag(error, in_library, in_command):
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert str(same) == in_library
        with parameters_as_flags():
            assert str(same) == in_command
        assert str(same) == in_library


def test_other_parameters_in_a_text_become_flags_too():
    def fix():
        return f"lower {parameter('rows')}, or set {setting('use_gpu', False)}"

    assert fix() == "lower rows, or set use_gpu=False"
    with parameters_as_flags():
        assert fix() == "lower --rows, or set --use_gpu=False"


def test_a_command_is_spelled_as_it_is_typed():
    assert command("export", format="tf1", allow_pickle="") == "bin/export --format=tf1 --allow_pickle"
    assert as_flags(seed=0) == ["--seed=0"]


def refuse():
    raise InputError("too large", f"lower {parameter('rows')}", name="vocab_size", value=7)


def test_what_a_worker_process_raises_is_spelled_as_in_its_parent_and_has_its_parts():
    with parameters_as_flags(), worker_pool(1) as pool, pytest.raises(InputError) as caught:
        pool.submit(refuse).result()
    assert (caught.value.problem, caught.value.fix) == ("too large", "lower --rows")
    assert str(caught.value) == "vocab_size=7: too large; lower --rows"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "errors.py"],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_spells_no_flag(path):
    if path == ROOT / "albert_hvd" / STYLE_SHEET:
        assert not [flag for _, flag in spelled_flags(path.read_text(encoding="utf-8")) if "_" in flag]
    else:
        assert list(spelled_flags(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("line, found", [
    ('raise InputError(f"--seed={seed}: no")', [(1, "--seed")]), ('make_folder(path, "--input")', [(1, "--input")]),
    ('print("lower --learning_rate")', [(1, "--learning_rate")]), ('missing = f"--{name}"', [(1, "--")]),
    ('x = option(help="see --seed")', []), ('"""See --seed."""', []), ('print("ask Slurm for --mem")', []),
    ('line = "a -- b"', [])])
def test_a_spelled_flag_is_found(line, found):
    assert list(spelled_flags(line)) == found
