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
