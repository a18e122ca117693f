"""Ranks that have other records than the others: refused on all, with the names of the hosts."""

import dataclasses
import os
import subprocess

import pytest
from conftest import command_environment, command_words, own_lines
from pretraining_runs import flags

from albert_hvd.errors import InputError, parameters_as_flags
from albert_hvd.training import agreement
from albert_hvd.training.agreement import open_alike


@dataclasses.dataclass
class Opened:
    """What a rank has opened; `views` are those of the other ranks."""

    num_records: int
    fingerprint: str
    paths: list = dataclasses.field(default_factory=list)

    def close(self):
        self.num_records = None


def message(monkeypatch, *others, own=Opened(41, "aaaa")):
    """What `open_alike` says on a rank that has opened `own`.

    Args:
      others: (host, number, fingerprint, vocabularies) or (host, error) of the other ranks.
    """
    views = [(host, tuple(seen), None) if len(seen) == 3 else (host, None, seen[0]) for host, *seen in others]
    monkeypatch.setattr(agreement.distributed, "size", lambda: 1 + len(others))
    monkeypatch.setattr(agreement.distributed, "gather_objects", lambda view, name: [("node1", *view[1:]), *views])
    with parameters_as_flags():
        try:
            assert open_alike(lambda: dataclasses.replace(own), "input_file") == own
        except InputError as error:
            return str(error)
    return None


SAME = "node2", 41, "aaaa", ()
FIX = "; make the files the same on all nodes"
BEGINNING = "--input_file: the ranks have different records: "


@pytest.mark.parametrize("others, said", [
    ([SAME, SAME], None),
    ([SAME, ("node3", 31, "bbbb", ())], "41 records of fingerprint aaaa on node1 (rank 0), node2 (rank 1); 31 records "
                                        "of fingerprint bbbb on node3 (rank 2)"),
    ([("node2", 41, "bbbb", ()), ("node2", 41, "bbbb", ())],
     "41 records of fingerprint aaaa on node1 (rank 0); 41 records of fingerprint bbbb on node2 (ranks 1, 2)"),
    ([("node2", 41, "aaaa", ("0123456789abcdef0123",))],
     "41 records without a manifest that names their vocabulary on node1 (rank 0); 41 records of vocabulary "
     "0123456789abcdef on node2 (rank 1)")])
def test_the_hosts_that_differ_are_named(monkeypatch, others, said):
    assert message(monkeypatch, *others) == (said and BEGINNING + said + FIX)


def test_what_one_rank_cannot_open_all_refuse(monkeypatch):
    error = InputError("no such file", "give files", name="input_file", value="a.tfrecord")
    assert message(monkeypatch, SAME, ("node3", error)) == (
        "--input_file=a.tfrecord: no such file (rank 2 on node3); give files")


def test_a_single_rank_has_nothing_to_compare():
    assert open_alike(lambda: Opened(41, "aaaa"), "input_file") == Opened(41, "aaaa")
    with pytest.raises(InputError) as error:
        open_alike(lambda: (_ for _ in ()).throw(InputError("no such file", name="x")), "x")
    assert str(error.value) == "x: no such file"


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.parametrize("command, option", [("pretrain", "input_file"), ("pretrain", "eval_input_file"),
                                             ("validate", "input_file")])
def test_a_node_with_other_records_ends_all_ranks_with_2(training_files, tmp_path, command, option):
    both = flags(training_files, tmp_path / "run", eval_input_file=f"{training_files}/eval.tfrecord",
                 eval_every_steps=5, untrained=True)
    words = ["mpirun", "--oversubscribe", "--bind-to", "none"]
    for rank, pattern in enumerate((f"{training_files}/train-0.tfrecord", f"{training_files}/train-*.tfrecord")):
        words += [*([":"] if rank else []), "-np", "1", *command_words(command, **{**both, option: pattern})]
    environment = {**command_environment(), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    result = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=200)
    host = os.uname().nodename
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    (line,) = own_lines(result, command)
    assert f"--{option}: the ranks have different records: 31 records of fingerprint " in line
    assert f" on {host} (rank 0); 41 records of fingerprint " in line and line.endswith(f" on {host} (rank 1){FIX}")
    assert not (tmp_path / "run" / "checkpoints").exists()
