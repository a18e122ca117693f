"""What the ranks of a horovodrun print, shown as one program's output.

horovodrun has mpirun put `[1,0]<stdout>:` before what rank 0 prints: before each line, and within one wherever mpirun
did not get all of it at once. Standard error of ranks is no terminal, so that training prints a line for each point of
its progress instead of drawing a bar.
"""

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys

_TAG = re.compile(r"\[\d+,(\d+)\]<(stdout|stderr)>:")
_FROM_LAUNCHER = (None, "stderr")
# As training/console.py writes it: " 45%|####      | 90/200 <00:31  loss 5.1 ...".
_PROGRESS = re.compile(r" *(\d+)%\|")
_CLEAR_LINE = "\r\x1b[K"
_USUAL_COLUMNS = 80


def run_ranks(words, output=None, errors=None):
    """Run a horovodrun command and show what its ranks print as it comes; returns its exit code.

    Ctrl-C and SIGTERM are the launcher's, which lets the ranks save; what they say of it is shown as well.

    Args:
      words: the command.
      output, errors: text files; default: standard output and standard error.
    """
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process, _passed_on_to(process):
        try:
            show(process.stdout, output or sys.stdout, errors or sys.stderr)
        except BaseException:
            process.terminate()  # its ranks must not go on unseen
            raise
        return process.wait()


@contextlib.contextmanager
def _passed_on_to(process):
    """Signals that end a program go to `process` instead. A terminal sends it Ctrl-C as well, which it takes for one."""
    before = {number: signal.signal(number, lambda number, _: process.send_signal(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(lines, output, errors):
    """Show tagged output without its tags.

    On a terminal, lines of progress become one bar, which is drawn anew. Standard error of all ranks and what the
    launcher itself says go to `errors`. Standard output of ranks above 0 is not shown: rank 0 speaks for all.

    Args:
      lines: the lines of both streams of horovodrun, str with their ends.
      output, errors: text files.
    """
    bar = _Bar(output)
    for (rank, stream), line in _untagged(lines):
        if stream == "stderr":
            bar.write(line, errors)
        elif rank == "0" and output.isatty() and (progress := _PROGRESS.match(line)):
            bar.draw(line.rstrip("\n"), is_full=progress[1] == "100")
        elif rank == "0":
            bar.write(line, output)
    bar.leave()


def _untagged(lines):
    """Yield ((rank, stream), line) of whole lines, put together from what stands behind the same tag."""
    begun = collections.defaultdict(str)
    for tagged in lines:
        before, *parts = _TAG.split(tagged)
        parts = [_FROM_LAUNCHER + (before,), *zip(*[iter(parts)] * 3)]
        for rank, stream, text in parts:
            begun[rank, stream] += text
            if text.endswith("\n"):
                yield (rank, stream), begun.pop((rank, stream))
    yield from ((source, f"{text}\n") for source, text in begun.items() if text)


class _Bar:
    """A line at the bottom of a terminal, below all others."""

    def __init__(self, terminal):
        self._terminal, self._text, self._is_full = terminal, "", False

    def draw(self, text, is_full):
        width = os.get_terminal_size(self._terminal.fileno()).columns or _USUAL_COLUMNS
        self._text, self._is_full = text[:width - 1], is_full  # a line of the full width would break
        self._show(f"{_CLEAR_LINE}{self._text}", self._terminal)

    def write(self, text, file):
        """Write a line above the bar; a full bar stays where it is."""
        if self._is_full:
            self.leave()
        if self._text:
            self._show(_CLEAR_LINE, self._terminal)
        self._show(text, file)
        if self._text:
            self._show(self._text, self._terminal)

    def leave(self):
        """Go to the next line, if there is a bar."""
        if self._text:
            self._show("\n", self._terminal)
        self._text, self._is_full = "", False

    @staticmethod
    def _show(text, file):
        file.write(text)
        file.flush()
