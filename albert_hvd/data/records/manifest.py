"""`manifest.json`, which describes all shards of a folder: what they hold, how each was built, and from what."""

import json
import os

from albert_hvd.errors import InputError
from albert_hvd.runtime.files import whole_file

MANIFEST = "manifest.json"


def read_manifest(folder):
    """The `manifest.json` of a folder as a dict; an empty one when there is none.

    Its "shards" and "builds", if they are there, are dicts of dicts.

    Raises: InputError when it cannot be read as such a JSON object.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        if not isinstance(manifest, dict):
            raise ValueError(f"it holds no JSON object, but a {type(manifest).__name__}")
        for part in ("shards", "builds"):
            entries = manifest.get(part, {})
            if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
                raise ValueError(f"its {part!r} are not an object of objects")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read it ({error})", "build the records again or delete it", value=path) from None
    return manifest


def builds_of(paths):
    """What manifests say of the builds that made these shards, a list of dicts; shards without a manifest add none."""
    manifests = {folder: read_manifest(folder) for folder in set(map(os.path.dirname, paths))}
    builds = {}
    for folder, name in map(os.path.split, paths):
        build = str(manifests[folder].get("shards", {}).get(name, {}).get("build"))
        if build in manifests[folder].get("builds", {}):
            builds[folder, build] = manifests[folder]["builds"][build]
    return list(builds.values())


def write_manifest(folder, build, options, shards):
    """Enter one build into the folder's manifest, which keeps what other builds wrote there.

    Args:
      build: the name of the build (its `output_file`).
      options: dict, what describes the whole build (options, tokenizer, statistics).
      shards: {file name: dict with num_records, num_real_tokens, num_bytes, sha256}.
    """
    manifest = read_manifest(folder)
    kept = {name: entry for name, entry in manifest.get("shards", {}).items()
            if entry.get("build") != build and os.path.exists(os.path.join(folder, name))}
    kept.update({name: {"build": build, **entry} for name, entry in shards.items()})
    builds = {name: entry for name, entry in manifest.get("builds", {}).items()
              if any(shard.get("build") == name for shard in kept.values())}
    builds[build] = options
    with whole_file(os.path.join(folder, MANIFEST)) as file:
        # In ASCII: the name of an input file need not be UTF-8.
        text = json.dumps({"version": 1, "shards": kept, "builds": builds}, indent=1, sort_keys=True)
        file.write(text.encode("ascii") + b"\n")
