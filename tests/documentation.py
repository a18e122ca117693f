"""README and the pages of docs/ as tests see them: their blocks of commands, and what those commands are.

What follows the three backticks of a block says what becomes of it:

    sh         it is run, in the page's order, in a checkout where README's blocks have been run before
    sh check   only the words of its commands are parsed: it needs a GPU, Slurm, a network, data or hours
    sh old     the old project's command lines, which tests/parallel/test_old_command_lines.py runs
    python     it is run like sh
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KINDS = ("sh", "sh check", "sh old", "python")

# What commands of a block may do besides being recorded: no more than handle files in the folder they run in.
_REAL = ("cat", "mkdir", "sed")
_RECORDED = ("git", "horovodrun", "mpirun", "pip", "pip-audit", "python", "sbatch", "tensorboard", "vi")
# Appends its own name and words to $RECORD: how many they are, then each, all ended by NUL.
_RECORDER = """#!/bin/sh
printf '%s\\0' "$#" "$0" "$@" >> "$RECORD"
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of text, counted from 1."""

    page: pathlib.Path
    line: int
    kind: str
    text: str

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*kinds):
    """The `Block`s of these kinds on all pages, README's first."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S):
            found.append(Block(page, text[:match.start(2)].count("\n") + 1, match[1].strip(), match[2]))
    return [block for block in found if block.kind in kinds]


def prose(page):
    """A page's text without its blocks, which become empty lines."""
    return re.sub(r"^```.*?^```$", lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"),
                  flags=re.M | re.S)


def make_stage(folder):
    """Make in `folder` a checkout whose programs do nothing but record their words."""
    for top in ("albert_config", "albert_hvd", "benchmarks", "bin", "docs", "models", "requirements", "slurm", "tests"):
        for path in sorted((ROOT / top).rglob("*")):
            if "__pycache__" in path.parts or not path.is_file():
                continue
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if os.access(path, os.X_OK):
                _write_program(copy)
            else:
                copy.symlink_to(path)
    for name in _RECORDED:
        _write_program(folder / "programs" / name)
    for name in _REAL:
        (folder / "programs" / name).symlink_to(shutil.which(name))
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").write_text("")


def _write_program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_RECORDER)
    path.chmod(0o755)


def commands_of(block, stage):
    """The commands that bash finds in a block: lists of words, the first a path relative to the checkout.

    Args:
      stage: the folder of `make_stage`.
    """
    for name in re.findall(r"<\s*([\w./-]+)", block.text):
        (stage / name).touch()
    record = stage / "record"
    record.write_bytes(b"")
    result = subprocess.run(
        [shutil.which("bash"), "-euc", block.text], cwd=stage, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env={"PATH": str(stage / "programs"), "RECORD": str(record), "VIRTUAL_ENV": "/environment"})
    assert result.returncode == 0, f"{block}: {result.stderr}"
    return list(_recorded(record.read_text().split("\0"), stage))


def _recorded(words, stage):
    while len(words) > 1:
        count = int(words[0]) + 1
        path, *arguments = words[1:1 + count]
        yield [path.removeprefix(f"{stage}/").removeprefix("programs/"), *arguments]
        words = words[1 + count:]
