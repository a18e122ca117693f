"""Ranks: what they tell each other, and a world of one without a launcher."""

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
import sys
from albert_hvd.errors import InputError, parameters_as_flags
from albert_hvd.runtime import distributed
from albert_hvd.runtime.devices import threads_per_rank
distributed.initialize()
import tensorflow as tf
rank, size = distributed.rank(), distributed.size()
threads = tf.config.threading.get_intra_op_parallelism_threads() == threads_per_rank(size)
lines = [f"{rank} of {size}: {threads} {distributed.gather_objects(rank, 'ranks')}"]
def refuse():
    raise InputError("too large", "halve it", name="rows", value=10)
try:
    distributed.on_rank_0(refuse, "refuse")
except InputError as error:
    with parameters_as_flags():
        lines.append(f"{error.problem}|{error.fix}|{error.name}|{error.value}: {error}")
with open(f"{sys.argv[1]}/{rank}", "w") as file:
    file.write("\\n".join(lines))
"""


@pytest.mark.parallel
def test_two_ranks_start_on_the_devices_that_there_are(tmp_path):
    # Each rank writes a file: mpirun mixes what they print, to within a line.
    words = ["horovodrun", "-np", "2", sys.executable, "-c", PROGRAM, str(tmp_path)]
    result = subprocess.run(words, env=command_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=200)
    assert result.returncode == 0, result.stderr
    said = {path.name: path.read_text().split("\n") for path in tmp_path.iterdir()}
    refusal = "too large|halve it|rows|10: --rows=10: too large; halve it"  # in its parts on both
    assert said == {"0": ["0 of 2: True [0, 1]", refusal], "1": ["1 of 2: True [0, 1]", refusal]}
