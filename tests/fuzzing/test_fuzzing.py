"""The readers of hostile input, on kept findings and on a few hundred seeded mutations; `fuzz.py` does the rest."""

import dataclasses
import functools
import json
import os
import pathlib
import random
import tempfile

import pytest
from fuzz_target import Target, try_input
from mutations import mutate_json
from targets import TARGETS

REGRESSIONS = sorted(pathlib.Path(__file__).with_name("regressions").glob("*/*"))
MUTATIONS = 200

# A reader that takes for ever is a finding too.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def folders():
    """{name of a target: (its folder, its seeds)}, made when asked for."""
    made = {}

    def folder_of(name):
        if name not in made:
            folder = os.path.join(root, name)
            os.mkdir(folder)
            made[name] = folder, TARGETS[name].seeds(folder)
        return made[name]

    # Where there is such a thing, in memory: a thousand files are written.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root:
        yield folder_of


def check(target, data, folder):
    finding = try_input(target, data, folder)
    assert finding is None, f"{target.name} on {data[:200]!r}:\n{finding.text}"


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_stays_mended(path, folders):
    folder, _ = folders(path.parent.name)
    check(TARGETS[path.parent.name], path.read_bytes(), folder)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_seeded_mutations(name, folders):
    target, (folder, seeds) = TARGETS[name], folders(name)
    drawn = random.Random(f"{name} 1")
    for seed in seeds:
        check(dataclasses.replace(target, errors=()), seed, folder)
    for _ in range(int(MUTATIONS * target.share)):
        data = drawn.choice(seeds)
        for _ in range(drawn.choice((1, 1, 2, 3))):
            data = target.mutate(data, drawn)
        check(target, data, folder)


@pytest.mark.parametrize("error, is_finding", [(KeyError("a"), True), (SystemExit(1), True), (MemoryError(), True),
                                               (ValueError("a"), False)])
def test_what_is_a_finding(error, is_finding, tmp_path):
    def run(data, folder):
        print("not shown")
        raise error

    finding = try_input(Target("t", run, list, errors=(ValueError,)), b"", str(tmp_path))
    assert (finding is not None) == is_finding
    if finding:
        assert finding.place.startswith(f"{type(error).__name__}-test_fuzzing.py-") and "in run" in finding.text


def test_the_regressions_are_small_and_have_targets():
    assert {path.parent.name for path in REGRESSIONS} <= set(TARGETS)
    assert sum(path.stat().st_size for path in REGRESSIONS) < 64_000


def test_mutations_do_not_depend_on_those_before_them():
    """They did, once the values that are put in had themselves been changed in place."""
    def drawn():
        source, seed = random.Random("mutations"), json.dumps({"a": [1, {"b": []}], "c": {"d": 2}}).encode()
        return [functools.reduce(lambda data, _: mutate_json(data, source), range(6), seed) for _ in range(1000)]

    assert drawn() == drawn()
