"""README and docs/: links that lead somewhere, and command lines that the commands understand."""

import json
import re
import subprocess
import sys

import pytest
from documentation import KINDS, PAGES, ROOT, blocks, commands_of, make_stage, prose

README_LINES = 160
# Options of programs that are not ours, as far as the pages use them.
LAUNCHERS = {"horovodrun": {"-np": 1, "-H": 1, "--mpi-args": 0}, "mpirun": {"-np": 1}}
SBATCH = {"--nodes", "--ntasks-per-node", "--gpus-per-node"}
FOREIGN = {"--help", "--logdir", "--prefix", "--require-hashes", "--disable-pip", "--mpi", "--check-build"}
# A block that is run may not do such things to the machine that runs the tests.
NOT_TO_BE_RUN = ("sbatch", "srun", "--gpu", "pip install", "git clone", "apt-get", "curl", "bin/test")


@pytest.fixture(scope="module")
def command_lines(tmp_path_factory):
    """[(where it stands, words)] of all commands in all shell blocks."""
    stage = tmp_path_factory.mktemp("stage")
    make_stage(stage)
    return [(str(block), words) for block in blocks("sh", "sh check", "sh old") for words in commands_of(block, stage)]


def parse(lines):
    """What is wrong with each command line of bin/ (see flag_parsing.py)."""
    result = subprocess.run([sys.executable, str(ROOT / "tests" / "flag_parsing.py")], cwd=ROOT, text=True,
                            input=json.dumps(lines), capture_output=True, check=True)
    return json.loads(result.stdout)


def own_command(words):
    """The words from `bin/NAME` on that a launcher or a batch script starts; [] when it is no command of bin/.

    Raises AssertionError for options that the launcher does not have, and scripts that do not exist.
    """
    program, *rest = words
    if program in LAUNCHERS:
        while not rest[0].startswith("bin/"):
            option, *rest = rest
            rest = rest[LAUNCHERS[program][option.partition("=")[0]]:]
        return rest
    if program == "sbatch":
        while rest[0].startswith("-"):
            assert rest.pop(0).partition("=")[0] in SBATCH
        script = (ROOT / rest[0]).read_text(encoding="utf-8")
        return [re.findall(r"^.*exec slurm/launch\.sh .*?(bin/\w+)", script, re.M)[-1], "--output_dir=runs/of-the-script",
                *(["--input_file=text", "--tokenizer=model", "--output_file=records"] if "create_data" in rest[0] else []),
                *rest[1:]]
    return words if program.startswith("bin/") else []


def check_other(words):
    """AssertionError when a program that has no absl flags is called with options or files that it does not know."""
    program, *rest = words
    if program == "bin/test":
        known = (ROOT / "bin" / "test").read_text() + (ROOT / "tests" / "fault_suite.py").read_text()
    elif program == "python":
        known = (ROOT / rest[0]).read_text()
    else:
        known = (ROOT / program).read_text() if (ROOT / program).is_file() else " ".join(FOREIGN)
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, word
        elif "/" in word:
            assert (ROOT / word).exists(), word


def test_all_commands_can_be_parsed(command_lines):
    lines = [(place, own_command(words)) for place, words in command_lines]
    absl = [(place, [words[0].removeprefix("bin/"), *words[1:]]) for place, words in lines
            if words and words[0] not in ("bin/setup", "bin/test")]
    problems = parse([words for _, words in absl])
    assert [f"{place}: bin/{words[0]}: {problem}" for (place, words), problem in zip(absl, problems) if problem] == []
    for (place, words), (_, own) in zip(command_lines, lines):
        if not own or own[0] in ("bin/setup", "bin/test"):
            check_other(words)


def test_a_wrong_flag_is_found():
    right = ["validate", "--input_file=a", "--output_dir=b"]
    found = parse([right, [*right, "--max_seq_len=12"], ["export", "--format=huggingface"], [*right, "--seed=many"]])
    assert found[0] is None
    assert "max_seq_len" in found[1] and "model" in found[2] and "many" in found[3]


def test_every_command_is_shown(command_lines):
    shown = {word for _, words in command_lines for word in words if word.startswith("bin/")}
    assert {f"bin/{path.name}" for path in (ROOT / "bin").iterdir() if path.is_file() and not path.suffix} <= shown


def test_every_flag_that_is_mentioned_exists():
    commands = sorted(path.name for path in (ROOT / "bin").iterdir()
                      if path.is_file() and "entry_point.run(" in path.read_text(encoding="utf-8"))
    words = re.search(r"^BENCHMARKS = \((.*?)\)", (ROOT / "bin" / "benchmark").read_text(), re.M | re.S)[1]
    lines = [[name, None] for name in commands] + [["benchmark", word, None] for word in re.findall(r"\w+", words)]
    known = {f"--{name}" for names in parse(lines) for name in names} | FOREIGN | SBATCH
    for path in (ROOT / "bin" / "setup", ROOT / "bin" / "test", ROOT / "tests" / "fault_suite.py",
                 *(ROOT / "slurm").glob("*.sh")):
        known |= set(re.findall(r"--[a-zA-Z][\w-]*", path.read_text(encoding="utf-8")))
    unknown = [f"{page.name}: {flag}" for page in PAGES
               for flag in re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", prose(page)) if flag not in known]
    assert unknown == []


def anchors(page):
    """The names that GitHub gives to a page's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", prose(page), re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_found_from_the_readme(page):
    readme = prose(PAGES[0])
    assert page == PAGES[0] or f"](docs/{page.name})" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:albert_config|albert_hvd|benchmarks|docs|models|requirements|slurm|tests)/[\w./-]+)`", prose(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_blocks_of_a_known_kind(page):
    text = page.read_text(encoding="utf-8")
    kinds = re.findall(r"^```([^\n]+)$", text, re.M)
    assert set(kinds) <= {*KINDS, "mermaid", "json"}
    assert re.findall(r"^ {4,}(?:bin/|horovodrun|mpirun|sbatch).*$", prose(page), re.M) == []


def test_blocks_that_are_run_are_harmless():
    for block in blocks("sh"):
        if block.text != "bin/test\n":  # which whoever runs this has typed
            assert [word for word in NOT_TO_BE_RUN if word in block.text] == [], f"{block}: mark it as `sh check`"
