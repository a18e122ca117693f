"""Lines of a stream in batches, as they come: a whole file quickly, a typed line at once."""

from albert_hvd.errors import InputError

_CHUNK_BYTES = 1 << 16
_MOST_LINES = 256


def batches_of_lines(stream, source="standard input"):
    """The lines of a UTF-8 stream, without their ends.

    Only a line feed ends a line, for a text may hold U+2028 and its like; a carriage return before it and a
    byte order mark at the top are dropped.

    Args:
      stream: binary, with `read1`.
      source: what it is called in messages.

    Yields:
      lists of 1 to 256 str, without waiting for more than has arrived.

    Raises:
      InputError: a line is not UTF-8; the lines before it have been yielded.
    """
    number = 0
    for lines in _raw_batches(stream):
        batch = []
        for line in lines:
            number += 1
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                if batch:
                    yield batch
                raise InputError(f"{source}:{number}: not UTF-8; convert the text first") from None
            batch.append(text.removesuffix("\r"))
        yield batch


def _raw_batches(stream):
    """Lists of lines as bytes; the last line needs no line feed."""
    parts = []
    while chunk := stream.read1(_CHUNK_BYTES):
        parts.append(chunk)
        if b"\n" not in chunk:
            continue
        *lines, rest = b"".join(parts).split(b"\n")
        parts = [rest] if rest else []
        for start in range(0, len(lines), _MOST_LINES):
            yield lines[start:start + _MOST_LINES]
    if parts:
        yield [b"".join(parts)]
