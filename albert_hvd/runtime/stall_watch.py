"""Ranks that wait for one another for ever: who does not answer is named, and the job is aborted.

Horovod names a rank that lives and does not come to a collective operation. It waits without end for a process that is
stopped, and for an answer over a network that is gone. So a thread of every rank watches whether steps end. When none
has for a while, each leaves word in `OUTPUT_DIR/stall/` that it lives and where it is; ranks that leave none are named.
"""

import json
import os
import shutil
import sys
import threading
import time

from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.runtime import distributed
from albert_hvd.runtime.exit import end_process
from albert_hvd.runtime.files import read_json_object, whole_file

FOLDER = "stall"

_TICK_SEC = 0.5
# All ranks notice a stall within the time of a step; so long the first waits for the answers of the others.
_ANSWER_SEC = 3.0
# So long the other ranks wait for the launcher to end them before they end themselves.
_OTHERS_SEC = 10.0
# Reading through records that have no index and compiling the step may keep all ranks so long before the first step.
_FIRST_STEP_SEC = 3600

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class StallWatch:
    """A context in which somebody must call `progress` again and again; made and entered by all ranks.

    A rank alone is not watched: it waits for nobody.

    Args:
      output_dir: the run's folder, which all ranks see.
      warn_sec: seconds without progress after which a warning names the ranks that do not answer.
      abort_sec: seconds after which the process ends with code 1 and one line; 0: never.
      on_abort: function (step, reason), called by the first rank that answers before it ends: writes the run's status.
    """

    def __init__(self, output_dir, warn_sec, abort_sec, on_abort):
        self._folder = os.path.join(output_dir, FOLDER)
        self._warn_sec, self._abort_sec, self._on_abort = warn_sec, abort_sec, on_abort
        place = f"process {os.getpid()} on {os.uname().nodename}"
        self._places = distributed.gather_objects(place, "places")
        self._rank = distributed.rank()
        self._main_thread = threading.get_ident()
        self._signs, self._step = 0, None
        self._answered, self._answering = False, threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self):
        if self._rank == 0:
            shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was aborted
        if len(self._places) > 1:
            self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def progress(self, step=None):
        """Say that this rank has got on; `step` is the number of updates made, None during set-up."""
        with self._answering:
            self._signs += 1
            self._step = step
            if self._answered:
                self._withdraw()  # before it goes on, or the answer would stand for the next stall

    def _watch(self):
        seen, quiet_sec, call, last = self._signs, 0.0, 0, time.monotonic()
        while not self._ended.wait(_TICK_SEC):
            now = time.monotonic()
            # A process that was suspended has not waited: its scheduler may have suspended the whole job.
            quiet_sec += min(now - last, 2 * _TICK_SEC)
            last = now
            if self._signs != seen:
                seen, quiet_sec, call = self._signs, 0.0, 0
            elif call == 0 and quiet_sec >= self._warn_sec:
                call = 1
                self._answer(call, seen)
            elif call == 1 and quiet_sec >= self._warn_sec + _ANSWER_SEC:
                call = 2
                self._warn(quiet_sec)
            elif call < 3 and self._abort_sec and quiet_sec >= self._limit_sec():
                call = 3
                self._answer(call, seen)
            elif call == 3 and quiet_sec >= self._limit_sec() + _ANSWER_SEC:
                self._give_up(quiet_sec)

    def _limit_sec(self):
        return self._abort_sec if self._step is not None else max(self._abort_sec, _FIRST_STEP_SEC)

    def _answer(self, call, signs):
        """Leave word that this rank lives, unless it has got on; a full disk or the like must not end the watch."""
        answer = {"call": call, "at": self._position()}
        with self._answering:
            if self._signs != signs:
                return
            self._answered = True
            try:
                with whole_file(self._path(self._rank), "output_dir", sync=False) as file:
                    file.write(json.dumps(answer).encode())
            except InputError:
                pass

    def _withdraw(self):
        self._answered = False
        try:
            os.remove(self._path(self._rank))
            os.rmdir(self._folder)
        except OSError:
            pass  # the others have not withdrawn theirs yet

    def _path(self, rank):
        return os.path.join(self._folder, f"rank-{rank}.json")

    def _position(self):
        """Where in this package the main thread is, as "room.module.function"."""
        frame = sys._current_frames().get(self._main_thread)
        while frame and not frame.f_code.co_filename.startswith(_PACKAGE + os.sep):
            frame = frame.f_back
        if frame is None:
            return "?"
        module = os.path.relpath(frame.f_code.co_filename, _PACKAGE).removesuffix(".py").replace(os.sep, ".")
        return f"{module}.{frame.f_code.co_name}"

    def _answers(self, call):
        """{rank: where it is} of the ranks that have answered this call; this one always has."""
        answers = {rank: read_json_object(self._path(rank)) for rank in range(len(self._places))}
        positions = {rank: answer["at"] for rank, answer in answers.items() if answer.get("call", 0) >= call}
        return {**positions, self._rank: self._position()}

    def _warn(self, quiet_sec):
        answers = self._answers(1)
        if min(answers) == self._rank:
            giving_up = (f"; aborting after {self._limit_sec()} s ({parameter('stall_abort_sec')})" if self._abort_sec
                         else "")
            sys.stderr.write(f"warning: {self._describe(quiet_sec, answers)}{giving_up}\n")
            sys.stderr.flush()

    def _give_up(self, quiet_sec):
        answers = self._answers(3)
        reason = self._describe(quiet_sec, answers)
        if min(answers) != self._rank:
            time.sleep(_OTHERS_SEC)
        else:
            try:
                self._on_abort(self._step or 0, reason)
            except InputError:
                pass  # the line on stderr says it too
        end_process(f"{reason}; aborted ({setting('stall_abort_sec', self._abort_sec)}): run the same command to "
                    f"continue from the last checkpoint")

    def _describe(self, quiet_sec, answers):
        when = f"at step {self._step}" if self._step is not None else "before the first step"
        missing = [rank for rank in range(len(self._places)) if rank not in answers]
        if missing:
            who = "; ".join(f"rank {rank} ({self._places[rank]}) does not answer" for rank in missing)
        else:
            ranks_at = {}
            for rank, position in sorted(answers.items()):
                ranks_at.setdefault(position, []).append(str(rank))
            who = "all ranks answer: one is slow, or the network between them is lost (" + "; ".join(
                f"in {position}: rank {', '.join(ranks)}" for position, ranks in ranks_at.items()) + ")"
        return f"no step has ended for {quiet_sec:.0f} s {when}: {who}"
