"""The job of bin/preprocess: raw files in, clean sentences out, one per line, blank line between documents.

Documents are read by this process, cleaned in batches by `num_workers` processes, and filtered for
duplicates and written here in their order, so that the output does not depend on the workers.
"""

import collections
import functools
import os
from dataclasses import dataclass

from albert_hvd.data.text import cleaning, duplicates
from albert_hvd.data.text.documents import expand_with_folders, read_documents
from albert_hvd.data.text.sentences import split_sentences
from albert_hvd.errors import InputError, parameter
from albert_hvd.options import option
from albert_hvd.runtime.files import check_place, whole_file
from albert_hvd.runtime.tables import named
from albert_hvd.runtime.worker_pool import worker_pool

BATCH_CHARACTERS = 1 << 18
REMOVED = ("empty_after_cleaning", "not_malay", "exact_duplicate", "near_duplicate")

_REPLACEMENTS = ("drop", "placeholder", "keep")


@dataclass(frozen=True)
class CleaningOptions:
    """How text is read and what is done to it, with a field for each of `cleaning.STEPS`: flags of `bin/preprocess`."""

    text_field: str = option("text", "key or column of the text in JSON, CSV and Parquet; a.b for nested keys, a,b for "
                                     "the first of these that is there")
    encoding: str = option("utf-8", "of the input files that have no byte order mark")
    skip_bad_lines: bool = option(False, "leave out lines of JSON Lines files that are no JSON, and count them")
    fix_mojibake: bool = option(True, "repair wrongly decoded characters (ftfy)")
    normalize_unicode: bool = option(True, "NFKC, without control and invisible characters")
    remove_html: bool = option(True, "drop tags, decode entities")
    spell_dot: bool = option(True, "contoh(dot)com -> contoh.com")
    emails: str = option("drop", "e-mail addresses", choices=_REPLACEMENTS)
    links: str = option("drop", "URLs", choices=_REPLACEMENTS)
    mentions: str = option("drop", "@mentions", choices=_REPLACEMENTS)
    remove_spam_runs: bool = option(True, "drop ===== and the like")
    shorten_punctuation: bool = option(True, "!!! -> !")
    shorten_letters: bool = option(True, "bestttt -> bestt")
    split_long_tokens: bool = option(True, "cut tokens of more than 30 characters at _ / -")
    split_sentences: bool = option(True, "cut lines into sentences")
    min_words: int = option(1, "drop lines of fewer words", least=0)
    malay_only: bool = option(False, "drop documents whose function words are mostly English")
    exact_duplicates: bool = option(True, "drop documents of the same letters and digits as an earlier one")
    near_duplicates: bool = option(True, "drop documents that are nearly the same as an earlier one (MinHash)")
    near_duplicate_similarity: float = option(0.8, "share of word triples that makes a near duplicate", most=1.0)
    near_duplicate_min_words: int = option(20, "shorter documents are compared exactly only", least=3)


def clean_document(lines, options, counts):
    """The sentences of a document: list of str, maybe empty; adds to `counts` what each step changed."""
    for name, step in cleaning.STEPS:
        how = getattr(options, name)
        if how is False or how == "keep":
            continue
        apply = functools.partial(step, how=how) if name in cleaning.REPLACING_STEPS else step
        changed = [apply(line) for line in lines]
        counts[f"lines_{name}"] += sum(before != after for before, after in zip(lines, changed))
        lines = changed
    sentences = []
    for line in lines:
        # Half of a surrogate pair, which JSON can hold, has no UTF-8 form.
        line = cleaning.collapse_spaces(line.encode("utf-8", "replace").decode("utf-8"))
        for sentence in split_sentences(line) if options.split_sentences else [line]:
            if sentence and cleaning.has_words(sentence, options.min_words):
                sentences.append(sentence)
            else:
                counts["lines_too_short"] += 1
    if sentences and options.malay_only and not cleaning.looks_malay(" ".join(sentences)):
        counts["not_malay"] += 1
        return []
    counts["empty_after_cleaning"] += not sentences
    return sentences


def clean_batch(documents, options):
    """Clean some documents.

    Returns: list of (sentences, exact key, MinHash values or None) of those that are not empty, and counts.
    """
    counts, cleaned = collections.Counter(), []
    for lines in documents:
        sentences = clean_document(lines, options, counts)
        if sentences:
            values = (duplicates.signature(sentences, options.near_duplicate_min_words)
                      if options.near_duplicates else None)
            cleaned.append((sentences, duplicates.exact_key(sentences), values))
    return cleaned, counts


def preprocess(input_file, output_file, options, num_workers=1, report=print):
    """Clean all documents of `input_file` (files, folders, globs) into `output_file`.

    Args: `num_workers`, processes (0: one per core), without effect on the result.
    Returns: dict of counts, which the closing table shows.
    Raises: InputError for missing or damaged input, or when no document is left.
    """
    left_out = []
    paths = expand_with_folders(input_file, left_out)
    if os.path.abspath(output_file) in map(os.path.abspath, paths):
        raise InputError("is one of the input files", "choose another name", name="output_file", value=output_file)
    check_place(output_file, "output_file")
    counts = collections.Counter()
    seen = duplicates.DuplicateFilter(options.exact_duplicates, options.near_duplicates,
                                      options.near_duplicate_similarity)
    batches = _batches(_with_progress(paths, options, counts), counts)
    num_workers = num_workers or len(os.sched_getaffinity(0))
    with whole_file(output_file) as file:
        for cleaned, batch_counts in _in_order(functools.partial(clean_batch, options=options), batches, num_workers):
            counts.update(batch_counts)
            for sentences, key, values in cleaned:
                verdict = seen.check(key, values)
                if verdict:
                    counts[verdict] += 1
                    continue
                text = "\n".join(sentences).encode("utf-8")
                file.write((b"\n" if counts["documents_out"] else b"") + text + b"\n")
                counts.update(documents_out=1, sentences_out=len(sentences), bytes_out=len(text))
        if not counts["documents_out"]:
            raise InputError(f"no text is left after cleaning ({counts['documents_in']} documents read)",
                             "check the files and the filters", name="input_file", value=input_file)
    if left_out:
        report(f"left out of the folders: {len(left_out)} with other endings, such as {left_out[0]}")
    for line in summary_table(counts):
        report(line)
    return dict(counts)


def _with_progress(paths, options, counts):
    """All documents of all files; on a terminal, a bar in MB of the files read."""
    from tqdm import tqdm

    bad_lines = counts if options.skip_bad_lines else None
    total = sum(map(os.path.getsize, paths))
    with tqdm(total=total, unit="B", unit_scale=True, desc="clean", disable=None) as bar:
        for path in paths:
            size, characters = os.path.getsize(path), 0
            for document in read_documents(path, options.text_field, options.encoding, bad_lines):
                yield document
                step = sum(map(len, document)) + len(document)
                step = min(step, size - characters)  # compressed files are smaller than their text
                characters += step
                bar.update(step)
            bar.update(size - characters)


def _batches(documents, counts):
    """Lists of documents of about `BATCH_CHARACTERS` together; counts what comes in."""
    batch, size = [], 0
    for document in documents:
        counts.update(documents_in=1, lines_in=len(document), characters_in=sum(map(len, document)),
                      invalid_bytes=sum(line.count("\ufffd") for line in document))
        batch.append(document)
        size += sum(map(len, document))
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_order(function, items, num_workers):
    """`map`, in the given order, by `num_workers` processes with a bounded number of items under way."""
    if num_workers == 1:
        yield from map(function, items)
        return
    with worker_pool(num_workers) as executor:
        pending = collections.deque()
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) > 4 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


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
