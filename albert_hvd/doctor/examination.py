"""The examination from start to end, on all ranks."""

from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder

MEGABYTE = 10**6


def examine(output_dir, max_message_mb, use_gpu=None):
    """Collect, measure, print and judge.

    Args:
      output_dir: a folder that all nodes should share; gets doctor.json and allreduce.png.
      max_message_mb: the largest message of the allreduce, in 10^6 bytes.

    Raises:
      InputError: on every rank, after the report, when a check has failed.
    """
    distributed.initialize(use_gpu)
    from albert_hvd.doctor import probes
    from albert_hvd.doctor.checks import check_all
    from albert_hvd.doctor.facts import collect_facts

    make_folder(output_dir, "output_dir")
    facts = distributed.gather_objects(collect_facts(output_dir, use_gpu), "doctor_facts")
    unseen, skew_sec = probes.unseen_files(output_dir), probes.clock_skew_sec()
    rows = probes.allreduce_speed(max_message_mb * MEGABYTE) if distributed.size() > 1 else []
    findings = check_all(facts, skew_sec, unseen)
    distributed.on_rank_0(lambda: _report(output_dir, facts, findings, rows), "doctor_report")


def _report(output_dir, facts, findings, rows):
    from albert_hvd.doctor import report

    print(report.ranks_text(facts), report.findings_text(findings), sep="\n\n", flush=True)
    print("\n" + (report.allreduce_text(rows) if rows else "one rank: no allreduce to measure"), flush=True)
    print("\nwritten: " + ", ".join(report.write_files(output_dir, facts, findings, rows)), flush=True)
    failed = [finding for finding in findings if finding.mend]
    if failed:
        raise InputError(f"{len(failed)} of {len(findings)} checks failed: "
                         + "; ".join(f"{finding.name}: {finding.mend}" for finding in failed))
