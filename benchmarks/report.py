"""What every benchmark gives back: a table that names machine, versions and settings, and the same as JSON."""

import dataclasses
import json

from albert_hvd.runtime.environment import machine, versions
from albert_hvd.runtime.files import whole_file
from albert_hvd.runtime.tables import aligned


@dataclasses.dataclass
class Report:
    """The outcome of one benchmark.

    Attributes:
      benchmark: its name, as `bin/benchmark` knows it.
      settings: dict of every option.
      rows: list of dicts, one a line of the table; the keys are the columns. Numbers keep their full
        precision here and are shown with four digits.
      notes: lines below the tables: how a column is measured, targets, ratios.
      sections: dict of a title to further such rows, each a table of its own below the first.
    """

    benchmark: str
    settings: dict
    rows: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)
    machine: dict = dataclasses.field(default_factory=lambda: machine())
    versions: dict = dataclasses.field(default_factory=lambda: versions())
    sections: dict = dataclasses.field(default_factory=dict)

    def lines(self):
        """The report as text, a list of lines."""
        settings = "  ".join(f"{name}={value}" for name, value in self.settings.items() if value is not None)
        machine = self.machine
        return [f"{self.benchmark}: {settings}",
                f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, "
                f"{machine['system']}, load {machine['load_average']:.1f} at the start",
                "versions: " + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
                "", *_table(self.rows),
                *(line for title, rows in self.sections.items() for line in ("", title, *_table(rows))),
                *(["", *self.notes] if self.notes else [])]

    def write_json(self, path):
        """Write the report to `path`, whole or not at all. Raises InputError when it cannot be written."""
        with whole_file(path, "json") as file:
            file.write(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False).encode() + b"\n")


def _table(rows):
    """The rows as lines; what a row lacks stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return aligned([columns] + [[_cell(row.get(name)) for name in columns] for row in rows])


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
