"""Which of many lines have the same character several times in a row: one look at all of them, not a search in each."""

import numpy as np


def lines_with_runs(lines, least, characters=None, from_character="\0"):
    """The numbers of the lines, in their order, that have a character `least` times in a row (and perhaps some others).

    Args:
      least: 2 or more.
      characters: of these only; None: of any from `from_character` on.
    """
    codes = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), "<u4")
    places = np.flatnonzero(codes[1:] == codes[:-1])  # where a character is the same as the next
    repeated = codes[places]
    places = places[np.isin(repeated, list(map(ord, characters))) if characters else repeated >= ord(from_character)]
    more = least - 2  # further places that must follow
    if more:
        places = places[:-more][places[more:] - places[:-more] == more] if len(places) > more else places[:0]
    ends = np.cumsum(list(map(len, lines)), dtype=np.int64)
    return np.unique(np.searchsorted(ends, places, side="right")).tolist()
