"""Ranks that have the same records before them: each opens the files for itself, from a disk of its own perhaps."""

import os

from albert_hvd.data.batches.training_batches import tokenizers_of
from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed


def open_alike(open_dataset, option):
    """Open records on every rank and compare what the ranks have opened; all ranks must call it.

    Otherwise a node with an old copy would draw another order: records trained on twice, or never, without a word.

    Args:
      open_dataset: function without arguments that opens this rank's `RecordDataset`.
      option: the name of the option that says which files, for messages.

    Returns:
      The dataset.

    Raises:
      InputError: on all ranks, when one cannot open its records, or ranks differ in their number, their fingerprint or
        the vocabularies that manifests name. It names the hosts.
    """
    dataset = seen = error = None
    try:
        dataset = open_dataset()
        if distributed.size() > 1:
            seen = dataset.num_records, dataset.fingerprint, tuple(tokenizers_of(dataset.paths))
    except InputError as caught:
        error = caught
    views = distributed.gather_objects((os.uname().nodename, seen, error), f"records_of_{option}")
    problem = _problem(views, option)
    if problem is not None:
        if dataset is not None:
            dataset.close()
        raise problem
    return dataset


def _problem(views, option):
    """The InputError for what ranks have opened, or None.

    Args:
      views: (host, what it has opened, `InputError` or None) of every rank.
    """
    for rank, (host, _, error) in enumerate(views):
        if error is not None:
            place = f" (rank {rank} on {host})" if len(views) > 1 else ""
            return InputError(f"{error.problem}{place}", error.fix, name=error.name, value=error.value)
    ranks = {}
    for rank, (host, seen, _) in enumerate(views):
        ranks.setdefault(seen, {}).setdefault(host, []).append(rank)
    if len(ranks) == 1:
        return None
    found = "; ".join(f"{_described(seen, ranks)} on {_places(hosts)}" for seen, hosts in ranks.items())
    return InputError(f"the ranks have different records: {found}", "make the files the same on all nodes", name=option)


def _described(seen, others):
    """What one group of ranks has opened, as far as it tells it from the others."""
    num_records, fingerprint, tokenizers = seen
    words = f"{num_records} records"
    if len({other[1] for other in others}) > 1:
        words += f" of fingerprint {fingerprint}"
    if len({other[2] for other in others}) > 1:
        names = ", ".join(tokenizer[:16] for tokenizer in tokenizers)
        words += f" of vocabulary {names}" if names else " without a manifest that names their vocabulary"
    return words


def _places(hosts):
    return ", ".join(f"{host} (rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))})"
                     for host, ranks in hosts.items())
