"""Checkpoints: one folder a step, whole or not there, verified when read.

    checkpoints/step_00000400/weights.safetensors     every variable of the model
                              optimizer.safetensors   both moments of every variable
                              state.json              step, position in the data, config, checksums
    checkpoints/best.json                             step of the one with the lowest held-out loss, and a
                                                      checksum that tells whether it is that one still

`state.json` says all that the arrays do not: since masks, order and dropout are drawn from the seed and the
position in the data, these two are the state of all random numbers. A folder without the optimizer's file
holds weights only (an imported model).

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

from albert_hvd.errors import InputError, RunFailed, parameter
from albert_hvd.runtime.files import use_umask, whole_file

_NAME = re.compile(r"step_(\d{8,})$")
_UNFINISHED = ".unfinished-"
BEST = "best.json"
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_STATE_CHECKSUM = "state_sha256"  # checkpoints of older versions have none


class DamagedCheckpoint(Exception):
    """A checkpoint whose files do not match their checksums; the message says which and how."""


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
      folder: its path; made when the first checkpoint is saved.
      keep: how many of the newest to keep, besides the best; 0 keeps all.
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
        """The path of a step's checkpoint, whether it exists or not."""
        return os.path.join(self.folder, f"step_{step:08d}")

    def save(self, step, weights, slots, state, best_step=None):
        """Write a checkpoint, note which is the best, and delete what `keep` no longer covers.

        Args:
          weights, slots: dicts of name to array; without `slots` (None) the folder holds weights only.
          state: JSON-able dict; the step and the files' checksums are added to it.
          best_step: step of the best checkpoint so far; `keep` spares it.

        Raises:
          RunFailed: the disk is full or the folder cannot be written; the checkpoints before are as
            they were, and nothing is left behind.
        """
        unfinished = os.path.join(self.folder, f"{_UNFINISHED}step_{step:08d}")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            os.makedirs(unfinished)
            _write_files(unfinished, {WEIGHTS: weights, OPTIMIZER: slots}, {**state, "step": step})
            # A damaged checkpoint of the same step may stand in the way after a fall-back.
            shutil.rmtree(self.path(step), ignore_errors=True)
            os.rename(unfinished, self.path(step))
            _sync(self.folder)
            self.mark_best(best_step)
        except (OSError, SafetensorError, InputError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise RunFailed(f"{parameter('output_dir')}: the checkpoint of step {step} cannot be written to "
                            f"{self.folder} ({error}); the ones before it are intact ({self._kept()}): make room, then "
                            "run the same command again") from None
        self._prune(best_step)

    def update_state(self, step, state, best_step):
        """Replace what a checkpoint says beside its arrays, and note which is the best; arguments as of `save`.

        Raises:
          RunFailed: it cannot be written; the checkpoint is as it was.
        """
        path = self.path(step)
        try:
            state = {**state, "step": step, "sha256": read_state(path)["sha256"]}
            with whole_file(os.path.join(path, STATE), "output_dir") as file:
                file.write(_state_text(state).encode())
            self.mark_best(best_step)
        except (DamagedCheckpoint, OSError, InputError) as error:
            raise RunFailed(f"{parameter('output_dir')}: {STATE} of the checkpoint of step {step} cannot be written "
                            f"({error}); make room, then run the same command again") from None

    def _kept(self):
        return f"newest: step {self.steps()[-1]}" if self.steps() else "there are none yet"

    def mark_best(self, step):
        """Write the step of the best checkpoint to `best.json`; without such a checkpoint there is no file."""
        path = os.path.join(self.folder, BEST)
        if step in self.steps():
            with whole_file(path, "output_dir") as file:
                checksum = _sha256(os.path.join(self.path(step), STATE))
                file.write(json.dumps({"step": step, _STATE_CHECKSUM: checksum}).encode() + b"\n")
        elif os.path.exists(path):
            os.remove(path)

    def _prune(self, best_step):
        if self._keep:
            for step in self.steps()[:-self._keep]:
                if step != best_step:
                    shutil.rmtree(self.path(step), ignore_errors=True)

    def remove_unfinished(self):
        """Delete what an interrupted `save` left."""
        if os.path.isdir(self.folder):
            for name in os.listdir(self.folder):
                if name.startswith(_UNFINISHED):
                    shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)

    def newest_valid(self, option="output_dir"):
        """The state of the newest checkpoint that passes its checksums, or None when there is none.

        Each damaged one is reported on stderr and skipped. Raises InputError, naming `option`, when all
        are damaged, since starting from nothing would lose what may still be rescued by hand.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                state = verified_state(self.path(step))
                if state["step"] != step:
                    raise DamagedCheckpoint(f"{self.path(step)} holds the checkpoint of step {state['step']}")
                return state
            except DamagedCheckpoint as damage:
                sys.stderr.write(f"warning: {damage}; trying the checkpoint before it\n")
        if steps:
            raise InputError(f"all {len(steps)} checkpoints in {self.folder} are damaged",
                             "restore one from a backup, or move the folder away to start again", name=option)
        return None


def _write_files(folder, arrays_of, state):
    """Write the array files and `state.json` with their checksums; all are on the disk on return."""
    checksums = {}
    for name, arrays in arrays_of.items():
        if arrays is not None:
            save_file(arrays, os.path.join(folder, name))
            use_umask(os.path.join(folder, name))
            checksums[name] = _sha256(os.path.join(folder, name))
    with open(os.path.join(folder, STATE), "w", encoding="utf-8") as file:
        file.write(_state_text({**state, "sha256": checksums}))
    for name in (*checksums, STATE, ""):
        _sync(os.path.join(folder, name))


def _state_text(state):
    state = json.loads(json.dumps(state))  # as it will be read
    return json.dumps({**state, _STATE_CHECKSUM: _checksum_of(state)}, indent=1)


def read_state(path):
    """Read `state.json` of a checkpoint whose files were verified before, as `find_checkpoint` does.

    Raises:
      DamagedCheckpoint: it is missing, cannot be read, or is not what `CheckpointFolder.save` writes.
    """
    try:
        with open(os.path.join(path, STATE), encoding="utf-8") as file:
            state = json.load(file)
        checksum = state.pop(_STATE_CHECKSUM, None) if isinstance(state, dict) else None
        intact = checksum in (None, _checksum_of(state))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from None
    if not intact:
        raise DamagedCheckpoint(f"{os.path.join(path, STATE)} has another checksum than when it was saved")
    checksums = state.get("sha256") if isinstance(state, dict) else None
    # Their names are opened: nothing else of the machine is.
    if not (isinstance(checksums, dict) and {WEIGHTS} <= checksums.keys() <= {WEIGHTS, OPTIMIZER}
            and type(state.get("step")) is int):
        raise DamagedCheckpoint(f"{path} cannot be read ({STATE} is not that of a checkpoint)")
    return state


def verified_state(path):
    """Read `state.json` of a checkpoint and check the checksums of its files, which reads all of them.

    Raises:
      DamagedCheckpoint: a file is missing, cannot be read, or has another checksum.
    """
    state = read_state(path)
    try:
        for name, checksum in state["sha256"].items():
            if _sha256(os.path.join(path, name)) != checksum:
                raise DamagedCheckpoint(f"{os.path.join(path, name)} has another checksum than when it was saved")
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error})") from None
    return state


def find_checkpoint(path, option):
    """The checkpoint folder meant by a user: itself, a run's folder or its `checkpoints/` (the newest), or
    the `best.json` in there.

    Raises:
      InputError: there is none, or the one named is damaged.
    """
    if os.path.basename(path) == BEST and os.path.isfile(path):
        path = _best_in(path, option)
    for folder in (path, os.path.join(path, "checkpoints")):
        if os.path.exists(os.path.join(folder, STATE)):
            try:
                verified_state(folder)
            except DamagedCheckpoint as damage:
                raise InputError(str(damage), "name an earlier checkpoint", name=option, value=path) from None
            return folder
        state = CheckpointFolder(folder).newest_valid(option)
        if state is not None:
            return CheckpointFolder(folder).path(state["step"])
    raise InputError("no checkpoint there", "name a run's output folder or one of its checkpoints/step_* folders",
                     name=option, value=path)


def _best_in(path, option):
    """The checkpoint folder that a `best.json` names."""
    try:
        with open(path, encoding="utf-8") as file:
            best = json.load(file)
        checkpoint = CheckpointFolder(os.path.dirname(path)).path(best["step"])
        intact = best.get(_STATE_CHECKSUM) in (None, _sha256(os.path.join(checkpoint, STATE)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"cannot read it ({error})", "name a checkpoints/step_* folder", name=option,
                         value=path) from None
    if not intact:
        raise InputError(f"{checkpoint} is not the one it was written for", "name a checkpoints/step_* folder",
                         name=option, value=path)
    return checkpoint


def load_arrays(path, name, shapes, source, sizes=None):
    """The arrays of one safetensors file, checked against what the model has.

    Args:
      path: the checkpoint's folder.
      name: `WEIGHTS`, `OPTIMIZER` or another file of it.
      shapes: dict of array name to the shape wanted.
      source: what to call the checkpoint in an error, such as "init_checkpoint=...".
      sizes: what to call the origin of the shapes there; None: the parameter bert_config_file.

    Raises:
      InputError: the file cannot be read; or names every array that is missing, unknown, of another shape or not
        of float32.
    """
    try:
        arrays = load_file(os.path.join(path, name))
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{name} cannot be read ({error})", "copy it again or name another", value=source) from None
    problems = [f"{key} is missing" for key in shapes if key not in arrays]
    problems += [f"{key} is unknown" for key in arrays if key not in shapes]
    problems += [f"{key} has shape {arrays[key].shape}, the model {tuple(shape)}"
                 for key, shape in shapes.items() if key in arrays and arrays[key].shape != tuple(shape)]
    problems += [f"{key} is of type {array.dtype}" for key, array in arrays.items() if array.dtype != "float32"]
    if problems:
        raise InputError(f"{name} does not fit {sizes or parameter('bert_config_file')}: {'; '.join(problems)}",
                         value=source)
    return arrays


def restore_variables(variables, path, name, source, sizes=None):
    """Give variables, a dict by name, the arrays of one file; arguments and errors as of `load_arrays`."""
    shapes = {key: variable.shape for key, variable in variables.items()}
    for key, array in load_arrays(path, name, shapes, source, sizes).items():
        variables[key].assign(array)


def _checksum_of(state):
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


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
