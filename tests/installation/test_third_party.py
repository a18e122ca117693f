"""THIRD_PARTY.md names every package that setup.cfg asks for, and no other but Horovod."""

import configparser
import re

from conftest import ROOT


def required_packages():
    """The names in `install_requires` and in all extras of setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = [settings["options"]["install_requires"], *settings["options.extras_require"].values()]
    return {re.match(r"[\w.-]+", line).group() for text in lists for line in text.split("\n") if line.strip()}


def table_rows():
    """[package, what for, licence, home page] of each row."""
    rows = re.findall(r"^\| (.+) \|$", (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]


def test_every_dependency_is_listed():
    listed = [name for row in table_rows() for name in row[0].split(", ")]
    assert len(listed) == len(set(listed))
    assert set(listed) == required_packages() | {"horovod"}  # which setup.cfg cannot ask for


def test_every_row_has_a_licence_and_a_home_page():
    for package, purpose, licence, home_page in table_rows():
        assert purpose and licence and home_page.startswith("https://"), package
