"""Ranks: what they tell each other, and a world of one without a launcher."""

import re
import subprocess
import sys

import pytest

from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed
from conftest import command_environment


def test_a_single_process_needs_no_launcher():
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.broadcast_object({"a": 1}, "x") == {"a": 1}
    assert distributed.on_rank_0(lambda: 5, "x") == 5
    with pytest.raises(InputError, match="wrong"):
        distributed.on_rank_0(lambda: (_ for _ in ()).throw(InputError("wrong")), "x")


PROGRAM = """
from albert_hvd.errors import InputError, parameters_as_flags
from albert_hvd.runtime import distributed
from albert_hvd.runtime.devices import threads_per_rank
distributed.initialize()
import tensorflow as tf
size = distributed.size()
threads = tf.config.threading.get_intra_op_parallelism_threads() == threads_per_rank(size)
print(f"{distributed.rank()} of {size}: {threads} {distributed.gather_objects(distributed.rank(), 'ranks')}")
def refuse():
    raise InputError("too large", "halve it", name="rows", value=10)
try:
    distributed.on_rank_0(refuse, "refuse")
except InputError as error:
    with parameters_as_flags():
        print(f"{distributed.rank()}: {error.problem}|{error.fix}|{error.name}|{error.value}: {error}")
"""


@pytest.mark.parallel
def test_two_ranks_start_on_the_devices_that_there_are():
    result = subprocess.run(["horovodrun", "-np", "2", sys.executable, "-c", PROGRAM], env=command_environment(),
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    # mpirun puts its tag into the middle of a line as well.
    lines = (re.sub(r"\[1,\d\]<stdout>:", "", line).strip() for line in result.stdout.splitlines())
    lines = sorted(line for line in lines if line)  # a tag may stand alone as well
    refusal = "too large|halve it|rows|10: --rows=10: too large; halve it"  # in its parts on both
    assert lines == ["0 of 2: True [0, 1]", f"0: {refusal}", "1 of 2: True [0, 1]", f"1: {refusal}"]
