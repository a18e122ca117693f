"""The doctor's findings as text, and the allreduce as a table and a plot."""

import json
import os

from albert_hvd.runtime.files import whole_file


def findings_text(findings):
    """A line for each check; what is wrong has its mend on the line below."""
    lines = []
    for finding in findings:
        lines.append(f"{'FAIL' if finding.mend else 'ok':<5} {finding.name:<14} {finding.what}")
        if finding.mend:
            lines.append(f"{'':<20} -> {finding.mend}")
    return "\n".join(lines)


def ranks_text(facts):
    """A line for each rank: where it is, and which GPU it has."""
    lines = [f"{'rank':>5} {'host':<20} {'local':>5} {'cores':>5}  {'GPUs seen':>9}  own GPU"]
    for fact in facts:
        own = fact["own_gpus"][0] if fact["own_gpus"] else "none"
        lines.append(f"{fact['rank']:>5} {fact['host']:<20} {fact['local_rank']:>5} {fact['cores']:>5}  "
                     f"{len(fact['gpus']):>9}  {own}")
    return "\n".join(lines)


def allreduce_text(rows):
    """The table of `probes.allreduce_speed`."""
    lines = [f"{'bytes':>12} {'microseconds':>13} {'bus MB/s':>10}"]
    for row in rows:
        lines.append(f"{row['bytes']:>12} {row['seconds'] * 1e6:>13.1f} {row['bus_bytes_per_sec'] / 1e6:>10.1f}")
    return "\n".join(lines)


def write_files(output_dir, facts, findings, rows):
    """Write doctor.json and, when an allreduce was measured, allreduce.png; returns their paths."""
    paths = [os.path.join(output_dir, "doctor.json")]
    with whole_file(paths[0], "--output_dir") as file:
        found = [vars(finding) for finding in findings]
        file.write(json.dumps({"ranks": facts, "findings": found, "allreduce": rows}, indent=1).encode() + b"\n")
    if rows:
        paths.append(os.path.join(output_dir, "allreduce.png"))
        with whole_file(paths[1], "--output_dir") as file:
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
