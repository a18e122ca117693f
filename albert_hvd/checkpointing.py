"""Checkpoints: one folder a step, whole or not there, verified when read.

    checkpoints/step_00000400/weights.safetensors     every variable of the model
                              optimizer.safetensors   both moments of every variable
                              state.json              step, position in the data, config, checksums

A checkpoint is written under another name, synced to disk and renamed, so that a kill at any moment
leaves the earlier ones as they were. Only rank 0 calls this module's writing half.
"""

import hashlib
import json
import os
import re
import shutil
import sys

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from albert_hvd.errors import InputError

_NAME = re.compile(r"step_(\d{8,})$")
_UNFINISHED = ".unfinished-"
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


class DamagedCheckpoint(Exception):
    """A checkpoint whose files do not match their checksums; the message says which and how."""


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
      folder: its path; made when the first checkpoint is saved.
      keep: how many of the newest to keep; 0 keeps all.
    """

    def __init__(self, folder, keep=5):
        self.folder = folder
        self._keep = keep

    def steps(self):
        """The steps that have a checkpoint, ascending."""
        if not os.path.isdir(self.folder):
            return []
        return sorted(int(match.group(1)) for match in map(_NAME.match, os.listdir(self.folder)) if match)

    def path(self, step):
        return os.path.join(self.folder, f"step_{step:08d}")

    def save(self, step, weights, slots, state):
        """Write a checkpoint and delete what `keep` no longer covers.

        Args:
          weights, slots: dicts of name to array.
          state: JSON-able dict; the files' checksums are added to it.

        Raises:
          InputError: the disk is full or the folder cannot be written; nothing is left behind.
        """
        unfinished = os.path.join(self.folder, f"{_UNFINISHED}step_{step:08d}")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            os.makedirs(unfinished)
            for name, arrays in ((WEIGHTS, weights), (OPTIMIZER, slots)):
                save_file(arrays, os.path.join(unfinished, name))
            files = {name: _sha256(os.path.join(unfinished, name)) for name in (WEIGHTS, OPTIMIZER)}
            with open(os.path.join(unfinished, STATE), "w", encoding="utf-8") as file:
                json.dump({**state, "step": step, "sha256": files}, file, indent=1)
            for name in (WEIGHTS, OPTIMIZER, STATE):
                _sync(os.path.join(unfinished, name))
            # A damaged checkpoint of the same step may stand in the way after a fall-back.
            shutil.rmtree(self.path(step), ignore_errors=True)
            os.rename(unfinished, self.path(step))
            _sync(self.folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise InputError(f"--output_dir: the checkpoint of step {step} cannot be written to "
                             f"{self.folder} ({error}); make room or choose another folder, then run "
                             f"the same command again") from None
        self._prune()

    def _prune(self):
        if self._keep:
            for step in self.steps()[:-self._keep]:
                shutil.rmtree(self.path(step), ignore_errors=True)

    def remove_unfinished(self):
        """Delete what an interrupted `save` left."""
        if os.path.isdir(self.folder):
            for name in os.listdir(self.folder):
                if name.startswith(_UNFINISHED):
                    shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)

    def newest_valid(self):
        """The state of the newest checkpoint that passes its checksums, or None when there is none.

        Each damaged one is reported on stderr and passed over. Raises InputError when all are
        damaged, since starting from nothing would lose what may still be rescued by hand.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return verified_state(self.path(step))
            except DamagedCheckpoint as damage:
                sys.stderr.write(f"warning: {damage}; trying the checkpoint before it\n")
        if steps:
            raise InputError(f"--output_dir: all {len(steps)} checkpoints in {self.folder} are damaged; "
                             f"restore one from a backup, or move the folder away to start anew")
        return None


def verified_state(path):
    """Read `state.json` of a checkpoint after checking the checksums of its files.

    Raises:
      DamagedCheckpoint: a file is missing, cannot be read, or has another checksum.
    """
    try:
        with open(os.path.join(path, STATE), encoding="utf-8") as file:
            state = json.load(file)
        for name, checksum in state["sha256"].items():
            if _sha256(os.path.join(path, name)) != checksum:
                raise DamagedCheckpoint(f"{os.path.join(path, name)} has another checksum than when it was saved")
        return state
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from None


def find_checkpoint(path, flag):
    """The checkpoint folder meant by a user: itself, a run's folder, or its `checkpoints/`.

    Raises:
      InputError: there is none, or the one named is damaged.
    """
    for folder in (path, os.path.join(path, "checkpoints")):
        if os.path.exists(os.path.join(folder, STATE)):
            try:
                verified_state(folder)
            except DamagedCheckpoint as damage:
                raise InputError(f"{flag}={path}: {damage}; name an earlier checkpoint") from None
            return folder
        state = CheckpointFolder(folder).newest_valid()
        if state is not None:
            return CheckpointFolder(folder).path(state["step"])
    raise InputError(f"{flag}={path}: no checkpoint there; name a run's output folder or one of its "
                     f"checkpoints/step_* folders")


def load_arrays(path, name, shapes, source):
    """The arrays of one file of a checkpoint, checked against what the model has.

    Args:
      path: the checkpoint's folder.
      name: `WEIGHTS` or `OPTIMIZER`.
      shapes: dict of array name to the shape wanted.
      source: what to call the checkpoint in an error, such as "--init_checkpoint=...".

    Raises:
      InputError: names every array that is missing, unknown or of another shape.
    """
    arrays = load_file(os.path.join(path, name))
    problems = [f"{key} is missing" for key in shapes if key not in arrays]
    problems += [f"{key} is unknown" for key in arrays if key not in shapes]
    problems += [f"{key} has shape {arrays[key].shape}, the model {tuple(shape)}"
                 for key, shape in shapes.items() if key in arrays and arrays[key].shape != tuple(shape)]
    if problems:
        raise InputError(f"{source}: the checkpoint does not fit --bert_config_file: {'; '.join(problems)}")
    return arrays


def _sha256(path):
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
