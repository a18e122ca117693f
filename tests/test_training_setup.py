"""What a checkpoint says of the tokenizer behind the records."""

import json

from albert_hvd.training_setup import tokenizer_hashes


def test_tokenizers_are_those_of_the_shards_that_are_read(tmp_path):
    builds = {name: {"tokenizer": {"sha256": sha256}} for name, sha256 in (("a", "11"), ("b", "22"), ("c", "33"))}
    shards = {f"{name}.tfrecord": {"build": name} for name in builds}
    for folder in ("described", "bare"):
        (tmp_path / folder).mkdir()
    (tmp_path / "described" / "manifest.json").write_text(json.dumps({"shards": shards, "builds": builds}))

    def paths(*names):
        return [str(tmp_path / name) for name in names]

    assert tokenizer_hashes(paths("described/b.tfrecord", "described/a.tfrecord")) == ["11", "22"]
    assert tokenizer_hashes(paths("described/c.tfrecord", "bare/a.tfrecord")) == ["33"]
    assert tokenizer_hashes(paths("bare/a.tfrecord")) == []
