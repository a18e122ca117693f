"""Tables as plain text."""


def aligned(rows):
    """Rows of cells as lines: the first column to the left, the others to the right, two blanks between.

    Args:
      rows: list of lists of str, all of the same length.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
