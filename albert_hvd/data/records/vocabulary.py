"""The vocabulary that made a folder's records: its entry in the manifest, and its copy beside the shards.

Two vocabularies may have the same size, so only a hash tells them apart. The copy makes a folder of records complete:
it can be moved, and read from any working directory.
"""

import os

from albert_hvd.data.records.manifest import builds_of
from albert_hvd.data.text.text_form import form_of_dict
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import VOCABULARY_COPY, whole_file


def copy_name(sha256):
    """The name of the copy of a vocabulary beside the records that it made."""
    return VOCABULARY_COPY.replace("????????", sha256[:8])


def store_vocabulary(folder, tokenizer):
    """Copy the vocabulary `tokenizer` into a folder of records."""
    with whole_file(os.path.join(folder, copy_name(tokenizer.sha256))) as file:
        file.write(tokenizer.model)


def vocabularies_of(paths):
    """{SHA-256: its entry in a manifest} of the vocabularies that made these shards, as far as manifests say so.

    An entry is a dict with "sha256" and perhaps "path", "vocab_size" and what else `records.build` wrote.
    """
    found = {}
    for build in builds_of(paths):
        found.update(_entry_of(build))
    return dict(sorted(found.items()))


def _entry_of(build):
    entry = build.get("tokenizer")
    return {str(entry["sha256"]): entry} if isinstance(entry, dict) and "sha256" in entry else {}


def one_vocabulary(paths, option, pattern):
    """The entry of the one vocabulary that made these shards; None when no manifest says which.

    Args:
      option, pattern: where the shards come from, for messages.

    Raises:
      InputError: several vocabularies made them, so that an id means one piece here and another there.
    """
    found = {}
    for build in builds_of(paths):
        for sha256, entry in _entry_of(build).items():
            found.setdefault((sha256, form_of_entry(entry)), entry)
    if len(found) > 1:
        names = " and ".join(sorted(map(describe_vocabulary, found.values())))
        raise InputError(f"its records were made with different vocabularies ({names})",
                         "make them all with one, or give those of one alone", name=option, value=pattern)
    return next(iter(found.values()), None)


def form_of_entry(entry):
    """The `TextForm` of the texts that records were made of, by the entry of their vocabulary."""
    return form_of_dict(entry)


def describe_vocabulary(entry):
    """A vocabulary in words, by its entry in a manifest."""
    form = form_of_entry(entry)
    return (f"{entry.get('path') or 'without a name'}, sha256 {str(entry['sha256'])[:8]}..."
            + ("" if form.is_identity else f", text {form.describe()}"))


def find_vocabulary(paths):
    """The `Tokenizer` of all shards, from beside them or from where the manifest says; None when it is not there."""
    found = vocabularies_of(paths)
    if len(found) != 1:
        return None
    (sha256, entry), = found.items()
    folders = sorted(set(map(os.path.dirname, paths)))
    path = str(entry.get("path") or "")
    for candidate in (*(os.path.join(folder, copy_name(sha256)) for folder in folders), path,
                      *(os.path.join(folder, path) for folder in folders)):
        if os.path.isfile(candidate):
            tokenizer = Tokenizer.from_file(candidate, text_form=form_of_entry(entry))
            if tokenizer.sha256 == sha256:
                return tokenizer
    return None
