"""What becomes of the clean documents of all units: duplicates are found, the others are laid out and written."""

import numpy as np

from albert_hvd.data.text import duplicates
from albert_hvd.data.text.preprocess_units import READ_BYTES, read_entries, read_signatures
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import whole_file


def decide(units, folder, num_shards, counts, options, memory_bytes):
    """Find the duplicates among the documents of all units; which documents each shard gets.

    Leaves a verdict on each document beside the units.

    Args:
      units: paths of the units in their order.
      folder: for tables that `memory_bytes` does not hold.
      counts: Counter over all units, which gets what is removed and what comes out.
      options: `CleaningOptions`.
    Returns: dict with "counts" and "starts", for each shard and the end (unit, document in it).
    """
    verdicts = np.zeros(counts.pop("documents_clean", 0), np.uint8)
    num_signatures = counts.pop("signatures", 0)
    if options.exact_duplicates and len(verdicts):
        duplicates.mark_exact(lambda: (read_entries(unit)["key"] for unit in units), verdicts, memory_bytes)
    if num_signatures:
        duplicates.mark_near(lambda: ((read_entries(unit)["has_signature"], read_signatures(unit)) for unit in units),
                             verdicts, num_signatures, options.near_duplicate_similarity, memory_bytes, folder)
    counts.update(exact_duplicate=int((verdicts == duplicates.EXACT).sum()),
                  near_duplicate=int((verdicts == duplicates.NEAR).sum()))
    ends, begin = [0], 0  # of the units, in bytes that are kept
    for unit in units:
        entries = read_entries(unit)
        kept = verdicts[begin:begin + len(entries)] == duplicates.KEPT
        begin += len(entries)
        with whole_file(unit + ".kept") as file:
            file.write(kept.tobytes())
        num_bytes = int(entries["num_bytes"][kept].sum())
        ends.append(ends[-1] + num_bytes)
        # As the text alone has it, without the ends of the last line of each document.
        counts.update(documents_out=int(kept.sum()), sentences_out=int(entries["num_sentences"][kept].sum()),
                      bytes_out=num_bytes - 2 * int(kept.sum()))
    starts = [_find(units, ends, shard * ends[-1] // num_shards) for shard in range(num_shards)]
    return {"counts": counts, "starts": [*starts, (len(units), 0)]}


def _find(units, ends, position):
    """The first document (unit, number in it) before which there are `position` bytes or more."""
    unit = max(int(np.searchsorted(ends, position, side="right")) - 1, 0)
    if unit >= len(units):
        return len(units), 0
    sizes = _kept_sizes(units[unit])
    before = ends[unit] + np.cumsum(sizes) - sizes
    document = int(np.searchsorted(before, position))
    return (unit, document) if document < len(sizes) else (unit + 1, 0)


def _kept_sizes(unit):
    """Bytes of each document of a unit that come out, int64 (n,)."""
    return read_entries(unit)["num_bytes"] * np.fromfile(unit + ".kept", bool)


def write_shard(output, units, start, end):
    """Write the documents from `start` to `end`, (unit, number in it)."""
    with whole_file(output) as file:
        held = b""
        for unit in range(start[0], min(end[0] + 1, len(units))):
            first, last = start[1] if unit == start[0] else 0, end[1] if unit == end[0] else None
            for part in _kept_text(units[unit], first, last):
                file.write(held + part[:-1])
                held = part[-1:]  # the last document has no blank line after it


def _kept_text(unit, first, last):
    """Yield the text of the documents [first, last) of a unit that are kept, in parts of one byte or more."""
    sizes, kept_sizes = read_entries(unit)["num_bytes"], _kept_sizes(unit)
    ends = np.cumsum(sizes)
    kept = np.flatnonzero(kept_sizes[first:last]) + first
    if not len(kept):
        return
    gaps = np.flatnonzero(np.diff(kept) > 1) + 1
    with open(unit + ".text", "rb") as file:
        for span in np.split(kept, gaps):
            file.seek(int(ends[span[0]] - sizes[span[0]]))
            left = int(sizes[span].sum())
            while left:
                part = file.read(min(READ_BYTES, left))
                if not part:
                    raise InputError("is cut short", "delete its folder, then run the same command again",
                                     value=unit + ".text")
                left -= len(part)
                yield part
