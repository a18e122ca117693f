"""A close look at some steps: TensorFlow's profile of rank 0, and Horovod's timeline of all ranks.

    OUTPUT_DIR/profile/plugins/profile/...      for TensorBoard (with tensorboard-plugin-profile)
    OUTPUT_DIR/profile/horovod_timeline.json    for chrome://tracing or ui.perfetto.dev
"""

import os
import re

from albert_hvd.errors import InputError, parameter
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder

FOLDER, TIMELINE = "profile", "horovod_timeline.json"


def parse_profile_steps(text, num_train_steps):
    """The steps that `profile_steps` names.

    Args:
      text: "10:20" for the steps 10 to 20, both included; None or "" for none.
      num_train_steps: the last step of the run.

    Returns:
      (first, last), or None.

    Raises:
      InputError: the flag is not like that, or the run ends before its first step.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,18}):(\d{1,18})", text, re.ASCII)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise InputError("give the first and the last step, such as 10:20", name="profile_steps", value=text)
    if first > num_train_steps:
        raise InputError(f"{parameter('profile_steps')}={text} begins after the last step "
                         f"({parameter('num_train_steps')}={num_train_steps})",
                         "profile earlier ones")
    return first, last


class StepProfiler:
    """Starts and stops profiling around the steps of a training loop; all ranks use it alike.

    Args:
      output_dir: the run's folder.
      steps: (first, last), both included; None profiles nothing.
      is_rank_0: whether this rank writes TensorFlow's profile.
    """

    def __init__(self, output_dir, steps, is_rank_0):
        self._folder = os.path.join(output_dir, FOLDER)
        self._first, self._last = steps or (1, 0)
        self._is_rank_0 = is_rank_0
        self._is_on = False
        self._trace = None

    def is_near(self, step):
        """Whether the step is profiled, or the one before the first such."""
        return self._first - 1 <= step <= self._last

    def before(self, step):
        """Call before the update that makes `step`."""
        if not self._first <= step <= self._last:
            return
        if not self._is_on:
            self._start()
        if self._is_rank_0:
            import tensorflow as tf

            # TensorBoard's profile cuts its time axis into steps by these.
            self._trace = tf.profiler.experimental.Trace("update", step_num=step, _r=1)
            self._trace.__enter__()

    def after(self, step):
        """Call after an update, with the number of updates made so far."""
        self._end_trace()
        if step >= self._last:
            self.close()

    def close(self):
        """Stop and write, if profiling is on."""
        self._end_trace()
        if self._is_on:
            self._is_on = False
            distributed.stop_timeline()
            if self._is_rank_0:
                import tensorflow as tf
                tf.profiler.experimental.stop()

    def _start(self):
        self._is_on = True
        if self._is_rank_0:
            import tensorflow as tf

            make_folder(self._folder, "output_dir")
            tf.profiler.experimental.start(self._folder)
        distributed.start_timeline(os.path.join(self._folder, TIMELINE))

    def _end_trace(self):
        if self._trace:
            self._trace.__exit__(None, None, None)
            self._trace = None
