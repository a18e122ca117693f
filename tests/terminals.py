"""A terminal for what only terminals are shown."""

import contextlib
import fcntl
import os
import pty
import struct
import termios


def shown_on_a_terminal(action, columns=120):
    """What `action(file)` wrote to a file that is a terminal of so many columns: text, with its control characters."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(writer, "w", encoding="utf-8") as terminal:
        action(terminal)
    # Only the end of the terminal says that all of it has come: the kernel hands it on in its own time.
    parts = []
    with os.fdopen(reader, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(1 << 16):
            parts.append(part)
    return b"".join(parts).decode("utf-8")


class TerminalOfItsOwn:
    """A terminal that a process can be started in front of, so that Ctrl-C typed there reaches it.

    Attributes:
      options: for `subprocess.Popen`: the terminal is its standard input, and that of its session.
    """

    def __enter__(self):
        self._keyboard, self._terminal = pty.openpty()
        self.options = {"stdin": self._terminal, "start_new_session": True,
                        "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        return self

    def __exit__(self, *_):
        os.close(self._terminal)
        os.close(self._keyboard)

    def type(self, keys):
        """Press keys, bytes."""
        os.write(self._keyboard, keys)
