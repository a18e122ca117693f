"""Checkpoints written in the background: training waits only while its state is copied."""

import concurrent.futures
import time


class CheckpointWriter:
    """Writes to a `CheckpointFolder` in a thread of its own, one checkpoint at a time.

    Attributes:
      write_sec: how long the last finished write took.
    """

    def __init__(self, folder):
        self._folder = folder
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._write = None
        self.write_sec = 0.0

    def start(self, step, weights, slots, state, best_step):
        """Begin to write; the arguments are those of `CheckpointFolder.save`, copies that nobody changes.

        Waits for the write before it, and raises what that one failed with.
        """
        self.wait()
        self._write = self._executor.submit(self._save, step, weights, slots, state, best_step)

    def _save(self, *checkpoint):
        began = time.monotonic()
        self._folder.save(*checkpoint)
        self.write_sec = time.monotonic() - began

    def check(self):
        """Raise what the last write failed with, if it has failed by now; does not wait."""
        if self._write is not None and self._write.done():
            self._write.result()

    def wait(self):
        """Wait for the write under way; raises what it failed with."""
        if self._write is not None:
            self._write.result()

    def close(self):
        """Let a write under way come to its end and stop the thread."""
        self._executor.shutdown(wait=True)
