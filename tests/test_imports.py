"""The walls of the house: a room imports only the rooms below it, and each heavy library has its one door."""

import ast
import subprocess
import sys

import pytest

from conftest import ROOT

# Folder of albert_hvd -> the folders from which it may import; all may import errors.py and the package's version.
ROOMS = {
    "runtime": [],
    "data/text": ["runtime"],
    "data/records": ["data/text", "runtime"],
    "data/batches": ["data/records", "data/text"],
    "model": [],
    "run_folder": ["runtime"],
    "serving/formats": ["model", "run_folder", "data/text", "runtime", "serving"],
    "serving": ["serving/formats", "model", "run_folder", "data/records", "data/text", "runtime"],
    "training": ["data/batches", "data/records", "model", "run_folder", "runtime", "serving/formats"],
    "finetuning": ["model", "run_folder", "data/text", "runtime", "serving/formats", "training", "benchmarks"],
    "reporting": ["run_folder", "runtime", "finetuning"],
    "doctor": ["runtime"],
    "sample": ["data/records", "data/text", "model", "run_folder", "runtime"],
}
MODULES = sorted(path for path in (ROOT / "albert_hvd").rglob("*.py"))


def imported(path):
    """Dotted names that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(parts):
    """The room of a dotted name or path, given as its parts after "albert_hvd"; None for the top of the package."""
    return next((room for room in ("/".join(parts[:2]), parts[0] if parts else "") if room in ROOMS), None)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_that_it_may(path):
    inside = path.relative_to(ROOT / "albert_hvd").parts
    room = room_of(inside[:-1])
    if room is None:
        assert inside in [("__init__.py",), ("errors.py",)] or inside == ("data", "__init__.py")
        return
    for target in imported(path):
        package, *parts = target.split(".")
        other = room_of(parts) if package == "albert_hvd" else package if package == "benchmarks" else None
        assert other in (None, room, *ROOMS[room]), f"{path} imports {target}: {room} may not import {other}"


@pytest.mark.parametrize("library, door", [("horovod", ["distributed.py"])])
def test_a_library_has_one_door(library, door):
    users = {path.name for path in MODULES if any(name.split(".")[0] == library for name in imported(path))}
    assert users == set(door)


def test_only_commands_define_flags():
    assert not [path for path in MODULES if any(name.startswith("absl") for name in imported(path))]


def test_importing_the_package_is_light():
    code = "import sys, albert_hvd; print(sorted({'tensorflow', 'horovod', 'mpi4py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
