"""The scripts that install Debian's packages for tests: whatever is missing is installed, what is there is left alone."""

import os
import subprocess

import pytest

from conftest import ROOT

SLURM = ("slurmctld", "slurmd", "sbatch", "munged", "ip", "shellcheck")


def run_script(name, programs, folder):
    """Run an install script on a machine that has `programs` alone; returns what it asked apt-get for."""
    for program in (*programs, "apt-get"):
        stub = folder / program
        stub.write_text(f'#!/bin/sh\necho "$0 $*" >> {folder}/{"calls" if program == "apt-get" else "other"}\n')
        stub.chmod(0o755)
    bash = "/bin/bash"
    subprocess.run([bash, ROOT / "tests" / "integration" / name], env={"PATH": str(folder)}, capture_output=True)
    return (folder / "calls").read_text() if os.path.exists(folder / "calls") else ""


@pytest.mark.parametrize("missing", SLURM)
def test_slurm_is_installed_when_any_program_is_missing(missing, tmp_path):
    calls = run_script("install_slurm.sh", [program for program in SLURM if program != missing], tmp_path)
    assert "install" in calls and "slurmctld" in calls


@pytest.mark.parametrize("script, programs", [("install_slurm.sh", SLURM), ("install_chromium.sh", ("chromium",))])
def test_nothing_is_installed_when_all_is_there(script, programs, tmp_path):
    assert run_script(script, programs, tmp_path) == ""


def test_chromium_is_installed_when_it_is_missing(tmp_path):
    assert "install" in run_script("install_chromium.sh", [], tmp_path)
