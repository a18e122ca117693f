"""Each command, started as a user does, says what it is for without the seconds that TensorFlow takes to load."""

import subprocess

import pytest
from command_server import BIN
from conftest import command_environment

COMMANDS = sorted(path.name for path in BIN.iterdir()
                  if path.is_file() and "\n    entry_point.run(" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command):
    # Python then names on stderr what it imports.
    environment = {**command_environment(), "PYTHONPROFILEIMPORTTIME": "1", "ALBERT_HVD_IS_SET_UP": "1"}
    result = subprocess.run([BIN / command, "--help"], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, check=True)
    lines = result.stderr.splitlines()
    assert all(line.startswith("import time: ") for line in lines), result.stderr
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "absl.flags" in imported
    assert not imported & {"tensorflow", "horovod", "mpi4py", "matplotlib", "sklearn"}
    assert f"bin/{command}" in result.stdout and "--" in result.stdout
