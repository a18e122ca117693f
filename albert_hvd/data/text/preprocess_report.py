"""The closing table of bin/preprocess."""

from albert_hvd.data.text import cleaning
from albert_hvd.errors import parameter
from albert_hvd.runtime.tables import named

REMOVED = ("empty_after_cleaning", "not_malay", "exact_duplicate", "near_duplicate")


def summary_table(counts):
    """Lines: documents in and out, what each filter removed, how many lines each step changed."""
    rows = [("documents in", f"{counts['documents_in']} ({counts['lines_in']} lines)"),
            ("documents out", f"{counts['documents_out']} ({counts['sentences_out']} sentences, "
                              f"{counts['bytes_out'] / 1e6:.2f} MB)")]
    rows += [(f"  {name.replace('_', ' ')}", f"{counts[name]} documents removed") for name in REMOVED]
    rows.append(("  too short", f"{counts['lines_too_short']} lines removed"))
    rows += [(f"  {name.replace('_', ' ')}", f"{counts[f'lines_{name}']} lines changed") for name, _ in cleaning.STEPS]
    if counts["bad_lines"]:
        rows.append(("bad lines", f"{counts['bad_lines']} lines that are no JSON left out"))
    if counts["invalid_bytes"]:
        rows.append(("warning", f"{counts['invalid_bytes']} invalid bytes were read as U+FFFD "
                                f"(see {parameter('encoding')})"))
    return named(rows)
