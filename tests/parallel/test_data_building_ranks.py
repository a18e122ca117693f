"""bin/create_pretraining_data under mpirun: the same bytes as from one process."""

import os
import subprocess

import pytest
from conftest import ROOT, command_environment
from small_corpus import make_documents, make_tokenizer, write_documents


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.parametrize("output", ["a.tfrecord", "a.tfrecord@5"])
def test_ranks_write_what_one_process_writes(tmp_path, output):
    write_documents(tmp_path / "a.txt", make_documents(150, 2))
    make_tokenizer(tmp_path)
    environment = {**command_environment(), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "OMPI_MCA_mpi_yield_when_idle": "1"}
    for name, launcher in (("one", []), ("three", ["mpirun", "-np", "3", "--oversubscribe"])):
        result = subprocess.run(
            [*launcher, str(ROOT / "bin" / "create_pretraining_data"), f"--input_file={tmp_path}/a.txt",
             f"--tokenizer={tmp_path}/small.model", f"--output_file={tmp_path}/{name}/{output}", "--num_workers=1",
             "--max_seq_length=64", "--max_predictions_per_seq=10", "--dupe_factor=2"],
            env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("label 1") == 1
    names = [sorted(set(os.listdir(tmp_path / run)) - {"manifest.json"}) for run in ("one", "three")]
    assert names[0] == names[1] and len(names[0]) == (3 if "@" not in output else 11)
    for name in names[0]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
