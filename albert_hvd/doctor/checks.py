"""Judgements on the facts of all ranks: what is wrong, and how to fix it. No launcher, no TensorFlow."""

import dataclasses

from albert_hvd.errors import parameter, setting

GIB = 2**30
LEAST_MEMORY_PER_RANK = 2 * GIB  # TensorFlow, Horovod and a small model
LEAST_DISK = {"output folder": 5 * GIB, "temporary folder": GIB, "/dev/shm": GIB // 16}
MOST_CLOCK_SKEW_SEC = 1.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one check. `mend` is empty when all is well."""

    name: str
    what: str
    mend: str = ""


def check_all(facts, skew_sec, unseen):
    """All findings.

    Args:
      facts: the dicts of `facts.collect_facts`, one per rank in their order.
      skew_sec: largest difference between two nodes' clocks, in seconds.
      unseen: "node1 does not see ..." lines of the shared folder's check.
    """
    nodes = by_host(facts)
    return [_launch(facts), _versions(facts), _libraries(facts), _names(nodes), _interfaces(nodes), _gpus(facts),
            _cores(facts), _shared_folder(unseen), _clocks(nodes, skew_sec), _memory(nodes), _disk(nodes)]


def by_host(facts):
    """{host: facts of its first rank}, in the order of ranks."""
    hosts = {}
    for fact in facts:
        hosts.setdefault(fact["host"], fact)
    return hosts


def _launch(facts):
    first, hosts = facts[0], by_host(facts)
    what = f"{first['size']} ranks on {len(hosts)} nodes"
    tasks, nodes = first["slurm"].get("SLURM_STEP_NUM_TASKS", 1), first["slurm"].get("SLURM_JOB_NUM_NODES", 1)
    if first["size"] == 1 and tasks > 1:
        return Finding("launch", f"{tasks} processes, each alone: they do not know of each other",
                       "this MPI does not work with srun's --mpi: set LAUNCHER=mpirun in slurm/cluster.env")
    if len(hosts) < nodes and first["size"] > 1:
        return Finding("launch", f"{what}, but Slurm gave {nodes}",
                       "this mpirun does not ask Slurm for its nodes: use the one of bin/setup, or LAUNCHER=srun")
    counts = {fact["local_size"] for fact in facts}
    if len(counts) > 1:
        return Finding("launch", f"{what}, {min(counts)} to {max(counts)} on a node",
                       "ask for the same number on each: --ntasks-per-node")
    return Finding("launch", what)


def _difference(facts, values_of):
    """(value, hosts) groups when ranks differ in what `values_of` gives, most frequent first; else []."""
    groups = {}
    for fact in facts:
        groups.setdefault(values_of(fact), []).append(fact["host"])
    return sorted(groups.items(), key=lambda group: -len(group[1])) if len(groups) > 1 else []


def _versions(facts):
    names = sorted({name for fact in facts for name in fact["versions"]})
    for name in names:
        groups = _difference(facts, lambda fact, name=name: fact["versions"].get(name, "missing"))
        if groups:
            what = "; ".join(f"{value} on {', '.join(sorted(set(hosts)))}" for value, hosts in groups)
            return Finding("versions", f"{name} is {what}", "use one checkout and one .venv on a file system that all "
                                                            "nodes share, and the same modules on all")
    return Finding("versions", ", ".join(f"{name} {value}" for name, value in facts[0]["versions"].items()))


def _libraries(facts):
    groups = _difference(facts, lambda fact: fact["libraries"])
    if groups:
        return Finding("libraries", "; ".join(f"{value} on {hosts[0]}" for value, hosts in groups),
                       "load the same MPI module on all nodes (activate_environment in slurm/cluster.env)")
    if "libmpi None" in facts[0]["libraries"]:
        return Finding("libraries", "no MPI is loaded", "run bin/setup, which builds Horovod with MPI")
    return Finding("libraries", facts[0]["libraries"])


def _names(nodes):
    loopback = [host for host, fact in nodes.items() if (fact["address"] or "127.").startswith("127.")]
    if len(nodes) > 1 and loopback:
        return Finding("host names", f"{', '.join(loopback)}: the own name leads to 127.x or to nothing",
                       "name an interface in slurm/cluster.env (INTERFACE), or have /etc/hosts fixed")
    return Finding("host names", ", ".join(f"{host} {fact['address']}" for host, fact in nodes.items()))


def _interfaces(nodes):
    wanted = next(iter(nodes.values()))["wanted_interface"]
    common = set.intersection(*(set(fact["interfaces"]) for fact in nodes.values()))
    # horovodrun chooses the loopback on a single node.
    for host, fact in nodes.items() if len(nodes) > 1 else ():
        if wanted and not set(wanted.split(",")) & set(fact["interfaces"]):
            return Finding("interfaces", f"{host} has no {wanted}, only {', '.join(fact['interfaces']) or 'none'}",
                           "set INTERFACE in slurm/cluster.env to one of: "
                           + (", ".join(sorted(common)) or "none in common"))
    if len(nodes) > 1 and not common:
        return Finding("interfaces", "the nodes have no interface name in common",
                       "ask for nodes of one kind (--constraint), or share one name")
    return Finding("interfaces", "on all nodes: " + (", ".join(sorted(common)) or "none")
                   + (f"; used: {wanted}" if wanted else ""))


def _gpus(facts):
    for fact in facts:
        given = fact["slurm"].get("SLURM_GPUS_ON_NODE", 0)
        if given and not fact["gpus"]:
            return Finding("GPUs", f"Slurm gave {given} on {fact['host']}, TensorFlow sees none (CUDA_VISIBLE_DEVICES="
                                   f"{fact['cuda_visible_devices']})",
                           "build the environment with bin/setup --gpu, and try nvidia-smi on that node")
        if fact["driver_gpus"] and not fact["gpus"] and fact["cuda_visible_devices"] is None:
            return Finding("GPUs", f"the driver shows {fact['driver_gpus']} on {fact['host']}, TensorFlow sees none",
                           "build the environment with bin/setup --gpu, or train on the CPU with "
                           f"{setting('use_gpu', False)}")
    counts = {len(fact["own_gpus"]) for fact in facts}
    if len(counts) > 1:
        without = sorted({fact["host"] for fact in facts if not fact["own_gpus"]})
        return Finding("GPUs", f"ranks on {', '.join(without)} have none, others have",
                       "leave these nodes out (--exclude), or ask for the same GPUs on all (--gpus-per-node)")
    drivers = ", ".join(sorted({fact["driver"] for fact in facts if fact["driver"]}))
    return Finding("GPUs", f"one for each rank (driver {drivers})" if counts == {1} else
                   "none: training would run on the CPU")


def _cores(facts):
    bound = [fact for fact in facts if fact["cores"] == 1 and fact["cores_of_node"] > fact["local_size"]]
    if bound:
        return Finding("cores", f"rank {bound[0]['rank']} on {bound[0]['host']} may use 1 of "
                                f"{bound[0]['cores_of_node']}",
                       "start with mpirun --bind-to none, and ask for more with --cpus-per-task")
    return Finding("cores", f"a rank may use {min(f['cores'] for f in facts)} or more, shared by its node's ranks")


def _shared_folder(unseen):
    if unseen:
        return Finding("shared folder", "; ".join(unseen),
                       f"set OUTPUT_ROOT in slurm/cluster.env (or {parameter('output_dir')}) to a folder on a file "
                       "system that all nodes share")
    return Finding("shared folder", "written and seen by all nodes")


def _clocks(nodes, skew_sec):
    what = f"at most {skew_sec:.3f} s apart on {len(nodes)} nodes"
    if skew_sec > MOST_CLOCK_SKEW_SEC:
        return Finding("clocks", what, "have the nodes' time synchronised (chrony, ntpd)")
    return Finding("clocks", what)


def _memory(nodes):
    least, host = min((fact["free_memory"] / fact["local_size"], host) for host, fact in nodes.items())
    what = f"{least / GIB:.1f} GiB free for each rank on {host}, which has least"
    if least < LEAST_MEMORY_PER_RANK:
        return Finding("memory", what, "ask for more (--mem), or for fewer ranks on a node")
    return Finding("memory", what)


def _disk(nodes):
    parts = []
    for place, needed in LEAST_DISK.items():
        least, host = min((fact["free_disk"][place], host) for host, fact in nodes.items())
        parts.append(f"{place} {least / GIB:.1f} GiB")
        if least < needed:
            return Finding("disk", f"{place}: {least / GIB:.2f} GiB free on {host}",
                           f"make room: {needed / GIB:.2f} GiB are needed there")
    return Finding("disk", "free: " + ", ".join(parts))
