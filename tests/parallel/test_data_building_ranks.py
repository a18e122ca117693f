"""bin/create_pretraining_data and bin/preprocess under mpirun: the same bytes as from one process."""

import os
import subprocess

import pytest
from conftest import ROOT, command_environment
from small_corpus import make_documents, make_tokenizer, write_documents


ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}


def run(program, number, *flags, **settings):
    """A command of bin/ in one process, or by a number of ranks."""
    launcher = ["mpirun", "-np", str(number), "--oversubscribe"] if number > 1 else []
    settings = settings or {"stdin": subprocess.DEVNULL}
    return subprocess.run([*launcher, str(ROOT / "bin" / program), "--num_workers=1", *flags], capture_output=True,
                          env={**command_environment(), **ENVIRONMENT}, text=True, timeout=120, **settings)


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.parametrize("output", ["a.tfrecord", "a.tfrecord@5"])
def test_ranks_write_what_one_process_writes(tmp_path, output):
    write_documents(tmp_path / "a.txt", make_documents(150, 2))
    make_tokenizer(tmp_path)
    for name, number in (("one", 1), ("three", 3)):
        result = run("create_pretraining_data", number, f"--input_file={tmp_path}/a.txt",
                     f"--tokenizer={tmp_path}/small.model", f"--output_file={tmp_path}/{name}/{output}",
                     "--max_seq_length=64", "--max_predictions_per_seq=10", "--dupe_factor=2")
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("label 1") == 1
    names = [sorted(set(os.listdir(tmp_path / run)) - {"manifest.json"}) for run in ("one", "three")]
    assert names[0] == names[1] and len(names[0]) == (3 if "@" not in output else 11)
    for name in names[0]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_ranks_clean_what_one_process_cleans(tmp_path):
    """Files, and a pipe, which only the first rank has."""
    documents = make_documents(150, 2)
    for number in range(20):
        write_documents(tmp_path / f"{number}.txt", documents[5 * number:5 * number + 7])
    for name, number in (("one", 1), ("three", 3)):
        result = run("preprocess", number, f"--input_file={tmp_path}/*.txt,/dev/stdin",
                     f"--output_file={tmp_path}/{name}/out@3", input="Dari paip sahaja.\n\nDua.")
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("documents out") == 1
    names = [sorted(os.listdir(tmp_path / name)) for name in ("one", "three")]
    assert names[0] == names[1] == [f"out-0000{shard}-of-00003" for shard in range(3)]
    for name in names[0]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    assert (tmp_path / "one" / name).read_text().endswith("Dari paip sahaja.\n\nDua.\n")


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_ranks_that_find_bad_input_say_so_once(tmp_path):
    write_documents(tmp_path / "a.txt", make_documents(20))
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("...")
    for pattern, flags, message in (
            ("a.txt", ["--output_file=a.txt"], "--output_file=a.txt: is one of the input files"),
            ("[0-3].txt", ["--output_file=out"], "no text is left after cleaning (4 documents read)")):
        result = run("preprocess", 2, f"--input_file={pattern}", *flags, cwd=tmp_path, stdin=subprocess.DEVNULL)
        lines = [line for line in result.stderr.splitlines() if line.startswith("preprocess:")]
        assert result.returncode == 2 and len(lines) == 1 and message in lines[0], result.stderr
    assert sorted(os.listdir(tmp_path)) == ["0.txt", "1.txt", "2.txt", "3.txt", "a.txt"]
