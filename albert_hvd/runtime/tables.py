"""Tables as plain text."""


def aligned(rows, left=(0,)):
    """Rows of cells as lines, two blanks between columns.

    Args:
      rows: list of sequences of str, all of the same length.
      left: the numbers of the columns that stand to the left; all others stand to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def named(rows):
    """(name, value) pairs of str as lines: all values begin in the same column."""
    return aligned(rows, left=(0, 1))
