"""The parts of a model that a checkpoint may lack: other programs save the encoder alone, or with one head."""

# A bare AlbertModel of Hugging Face's has no heads, its masked LM no pooler.
POOLER, MASKED_LM_HEAD, SENTENCE_HEAD = OPTIONAL_PARTS = ("encoder/pooler/", "masked_lm_head/", "sentence_head/")


def missing_paths(paths, is_present):
    """Of a model's variable paths those that must be there and are not, as a list.

    All of the trunk must be, and of each optional part all or nothing.

    Args:
      paths: the variable paths of the whole model.
      is_present: whether a checkpoint has the variable of a path.
    """
    started = tuple(part for part in OPTIONAL_PARTS
                    if any(path.startswith(part) and is_present(path) for path in paths))
    return [path for path in paths if not is_present(path)
            and (path.startswith(started) or not path.startswith(OPTIONAL_PARTS))]
