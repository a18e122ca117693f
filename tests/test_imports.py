"""The walls of the house: a room imports only the rooms that the table lists for it; heavy libraries have one door."""

import ast
import functools
import graphlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

# Folder of albert_hvd -> the other folders that it imports. All may import errors.py, options.py and the package's
# __version__.
# docs/architecture.md says why each wall stands where it stands.
ROOMS = {
    "runtime": [],
    "model": [],
    "data/text": ["runtime"],
    "data/records": ["data/text", "runtime"],
    "data/batches": ["data/records", "data/text"],
    "run_folder": ["runtime"],
    "serving/formats": ["data/records", "data/text", "model", "run_folder", "runtime"],
    "serving": ["data/batches", "data/text", "model", "run_folder", "runtime", "serving/formats"],
    "training": ["data/batches", "data/records", "model", "run_folder", "runtime", "serving/formats"],
    "finetuning": ["data/text", "model", "run_folder", "runtime", "serving", "serving/formats", "training"],
    "reporting": ["run_folder", "runtime", "serving"],
    "doctor": ["runtime"],
    "sample": ["data/records", "data/text", "model", "run_folder", "runtime"],
}
DATA = ("data/text", "data/records", "data/batches")
OUTSIDE_ROOMS = ("__init__.py", "errors.py", "options.py", "data/__init__.py")

PACKAGE = ROOT / "albert_hvd"
MODULES = sorted(PACKAGE.rglob("*.py"))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def imported(text):
    """Dotted names that a source imports, at any depth of its code: `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(parts):
    """The room of a module, from its path's parts below albert_hvd; None for the top of the package."""
    return next((room for room in ("/".join(parts[:2]), "/".join(parts[:1])) if room in ROOMS), None)


def wrong_imports(room, text):
    """What a source in `room` imports and may not: a list of dotted names."""
    wrong = []
    for target in imported(text):
        package, *parts = target.split(".")
        if package == "albert_hvd" and parts:
            other = room_of(parts)
            if other not in (room, *ROOMS[room]) and (other or parts[0] not in ("errors", "options", "__version__")):
                wrong.append(target)
        elif package == "benchmarks":
            wrong.append(target)
    return wrong


def below(room):
    """All rooms that a room imports, by whatever way."""
    return set(ROOMS[room]).union(*(below(other) for other in ROOMS[room]))


@functools.cache
def libraries_of(path):
    """Top names of all packages that importing this module may import, now or when a function of it runs."""
    found = set()
    for target in imported(path.read_text(encoding="utf-8")):
        module = ROOT.joinpath(*target.split(".")).with_suffix(".py")
        if not target.startswith("albert_hvd"):
            found.add(target.split(".")[0])
        elif module.exists():
            found |= libraries_of(module)
    return frozenset(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_the_table_lists(path):
    inside = path.relative_to(PACKAGE)
    room = room_of(inside.parts[:-1])
    if room is None:
        assert str(inside) in OUTSIDE_ROOMS, f"{inside} is in no room: add its folder to ROOMS, or move it"
    else:
        assert wrong_imports(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("room, line", [
    ("model", "from albert_hvd.data.records import masking"), ("model", "from albert_hvd.runtime import distributed"),
    ("serving", "def f():\n    from albert_hvd.training.step import TrainingStep"),
    ("serving/formats", "import albert_hvd.serving.export"), ("reporting", "from albert_hvd.finetuning import results"),
    ("runtime", "from albert_hvd.run_folder.logs import write_status"), ("data/text", "import albert_hvd.data.records"),
    ("finetuning", "from benchmarks.report import Report"), ("reporting", "from albert_hvd import load"),
    ("training", "from albert_hvd import finetuning")])
def test_an_import_against_the_table_is_found(room, line):
    assert wrong_imports(room, line)


@pytest.mark.parametrize("room, line", [
    ("model", "from albert_hvd.errors import InputError"), ("runtime", "from albert_hvd import __version__, errors"),
    ("serving", "from albert_hvd.serving.formats.huggingface import names"), ("model", "import numpy as np")])
def test_what_the_table_allows_is_not_found(room, line):
    assert wrong_imports(room, line) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_lists_nothing_that_is_not_imported(room):
    paths = [path for path in MODULES if room_of(path.relative_to(PACKAGE).parts[:-1]) == room]
    used = {room_of(target.split(".")[1:]) for path in paths for target in imported(path.read_text(encoding="utf-8"))
            if target.startswith("albert_hvd.")}
    assert used - {room, None} == set(ROOMS[room])


def test_the_rooms_form_no_circle():
    assert len(tuple(graphlib.TopologicalSorter(ROOMS).static_order())) == len(ROOMS)  # or a CycleError


@pytest.mark.parametrize("room, never", [
    *(("model", other) for other in DATA), ("model", "runtime"), ("serving", "training"), ("reporting", "finetuning")])
def test_these_rooms_never_meet(room, never):
    assert never in ROOMS and never not in below(room)


@pytest.mark.parametrize("room, library", [
    ("model", "horovod"), *((room, "horovod") for room in DATA), ("data/text", "tensorflow")])
def test_these_rooms_do_without_a_library(room, library):
    assert not [path for path in MODULES if room_of(path.relative_to(PACKAGE).parts[:-1]) == room
                and library in libraries_of(path)]


def test_horovod_has_one_door():
    direct = [str(path.relative_to(PACKAGE)) for path in MODULES
              if any(name.split(".")[0] == "horovod" for name in imported(path.read_text(encoding="utf-8")))]
    assert direct == ["runtime/distributed.py"]
    assert "horovod" in libraries_of(PACKAGE / "training" / "loop.py")  # the way through the house is followed


def test_only_commands_define_flags():
    assert not [path for path in MODULES
                if any(name.startswith("absl") for name in imported(path.read_text(encoding="utf-8")))]


def test_the_top_of_the_package_stays_empty():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "errors.py", "options.py"]


def test_the_documentation_has_the_same_table():
    rows = re.findall(r"^\| `([a-z_/]+)/` \| ([^|]*) ?\|$", ARCHITECTURE, re.MULTILINE)
    assert {room: re.findall(r"`([a-z_/]+)/`", cell) for room, cell in rows} == ROOMS


def test_the_documentation_names_files_that_exist():
    rows = re.findall(r"^\| `([a-z_/]+)` \| [^|]+ \| ([^|]+) \|$", ARCHITECTURE, re.MULTILINE)
    assert {f"albert_hvd/{room}/" for room in ROOMS} < {folder for folder, _ in rows}
    named = [ROOT / folder / name for folder, cell in rows
             for name in re.findall(r"`([a-z0-9_/]+(?:\.[a-z]+|/))`", cell)]
    assert len(named) > 80 and [str(path) for path in named if not path.exists()] == []


def test_importing_the_package_is_light():
    code = "import sys, albert_hvd; print(sorted({'tensorflow', 'horovod', 'mpi4py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
