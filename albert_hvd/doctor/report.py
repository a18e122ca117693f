"""The doctor's findings as text, and the allreduce as a table and a plot."""

import json
import os

from albert_hvd.runtime.files import whole_file
from albert_hvd.runtime.tables import aligned


def findings_text(findings):
    """A line for each check; what is wrong has its fix on the line below."""
    rows = []
    for finding in findings:
        rows.append(("FAIL" if finding.mend else "ok", finding.name, finding.what))
        if finding.mend:
            rows.append(("", "", f"-> {finding.mend}"))
    return "\n".join(aligned(rows, left=(0, 1, 2)))


def ranks_text(facts):
    """A line for each rank: where it is, and which GPU it has."""
    rows = [("rank", "host", "local", "cores", "GPUs seen", "own GPU")]
    for fact in facts:
        numbers = fact["local_rank"], fact["cores"], len(fact["gpus"])
        own = fact["own_gpus"][0] if fact["own_gpus"] else "none"
        rows.append((str(fact["rank"]), fact["host"], *map(str, numbers), own))
    return "\n".join(aligned(rows, left=(1, 5)))


def allreduce_text(rows):
    """The table of `probes.allreduce_speed`."""
    cells = [(str(row["bytes"]), f"{row['seconds'] * 1e6:.1f}", f"{row['bus_bytes_per_sec'] / 1e6:.1f}") for row in rows]
    return "\n".join(aligned([("bytes", "microseconds", "bus MB/s"), *cells], left=()))


def write_files(output_dir, facts, findings, rows):
    """Write doctor.json and, when an allreduce was measured, allreduce.png; returns their paths."""
    paths = [os.path.join(output_dir, "doctor.json")]
    with whole_file(paths[0], "output_dir") as file:
        found = [vars(finding) for finding in findings]
        file.write(json.dumps({"ranks": facts, "findings": found, "allreduce": rows}, indent=1).encode() + b"\n")
    if rows:
        paths.append(os.path.join(output_dir, "allreduce.png"))
        with whole_file(paths[1], "output_dir") as file:
            _plot(rows, f"allreduce over {len(facts)} ranks").savefig(file, format="png", dpi=150)
    return paths


def _plot(rows, title):
    """Latency and bus bandwidth by message size, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    latency, bandwidth = figure.subplots(2, sharex=True)
    sizes = [row["bytes"] for row in rows]
    latency.loglog(sizes, [row["seconds"] * 1e6 for row in rows], marker="o")
    latency.set(title=title, ylabel="microseconds")
    bandwidth.loglog(sizes, [row["bus_bytes_per_sec"] / 1e6 for row in rows], marker="o")
    bandwidth.set(xlabel="bytes of the message (float32)", ylabel="bus MB/s")
    for axes in (latency, bandwidth):
        axes.grid(True, which="major", alpha=0.3)
    return figure
