"""The walls of the house: imports point downward, and each heavy library has its one door."""

import ast
import subprocess
import sys

import pytest

from conftest import ROOT

LEVELS = {
    "ground": ["errors", "config", "files", "archives", "corpus", "tokenization", "example_proto", "shards", "records",
               "gpu_pinning", "distributed", "stop_request", "run_lock", "emergency_exit", "model_files", "text_tables",
               "package_versions", "worker_pool", "lean_keras"],
    "maths": ["modeling", "elementwise", "optimization", "loss_scaling", "masking", "instances", "cleaning", "sentences",
              "deduplication", "masked_text"],
    "parts": ["pretrainer", "training_step", "training_setup", "training_data", "training_loop", "checkpointing",
              "checkpoint_writer", "run_description", "evaluation", "input_pipeline", "packing",
              "batch_plan", "metrics_window", "metrics_log", "stall_watch", "profiling", "interop", "model_card",
              "document_reader",
              "example_stages", "data_report", "serving", "inference"],
    "jobs": ["pretraining", "validation", "demo", "sample_run", "preprocessing", "tokenizer_training", "data_plan",
             "data_building", "reporting", "benchmarking", "doctor", "exporting", "checkpoint_import",
             "finetuning"],
}
LEVEL_OF = {name: level for level, names in enumerate(LEVELS.values()) for name in names}
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


def module_of(path):
    """The name right under the package: a/b.py of a sub-package counts as a."""
    return path.relative_to(ROOT / "albert_hvd").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path):
    name = module_of(path)
    if name == "__init__":
        return
    assert name in LEVEL_OF, f"{name} has no level yet: give it one in {__file__}"
    for target in imported(path):
        parts = target.split(".")
        if parts[0] == "albert_hvd" and len(parts) > 1 and parts[1] in LEVEL_OF:
            assert LEVEL_OF[parts[1]] <= LEVEL_OF[name], f"{path} imports {target}, which is above it"


@pytest.mark.parametrize("library, door", [("horovod", ["distributed.py"])])
def test_a_library_has_one_door(library, door):
    users = {path.name for path in MODULES if any(name.split(".")[0] == library for name in imported(path))}
    assert users == set(door)


def test_only_commands_define_flags():
    assert not [path for path in MODULES if any(name.startswith("absl") for name in imported(path))]


def test_importing_the_package_is_light():
    code = "import sys, albert_hvd; print(sorted({'tensorflow', 'horovod', 'mpi4py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
