"""Hostile changes to good inputs, drawn from a `random.Random`: of bytes, and of a JSON value's parts."""

import copy
import json
import struct

_SNIPPETS = (
    b"\0", b"\xff", b"\xfe\xff", b"\r", b"\n", b"\r\n", b"\t", b" ", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\",
    b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 5000, b"[" * 3000, b'{"a":' * 1500, b"\xef\xbb\xbf", b"\xed\xa0\x80",
    b'"\\ud800"', b"\\u0000", "\u2028".encode(), "\u0660".encode(), "\u0301".encode() * 50, b"../", b"/etc/passwd",
    *(struct.pack("<Q", 1 << bits) for bits in (7, 16, 31, 32, 60, 63)), b"\x80" * 11, b"\xff" * 9 + b"\x01")

_VALUES = (None, True, False, 0, 1, -1, 2, 2**31, 2**63, -2**63, 10**30, -10**400, 0.5, -0.5, 1e308, 1e-308,
           float("nan"), float("inf"), -float("inf"), "", "\0", "a", "\ud800", "../a", "/etc/passwd", "a\nb", "\u2028",
           "9" * 400, [], {}, [[]], [None], {"": None}, {"a": {"a": []}}, [1, "a"], ["a", "a"], "<MANY DIGITS>",
           "<DEEP>")
# What json.dumps cannot write.
_RAW = {b'"<MANY DIGITS>"': b"9" * 5000, b'"<DEEP>"': b"[" * 3000 + b"]" * 3000}


def mutate_bytes(data, random):
    """`data` with one to four bytes or stretches changed, put in, doubled, moved or taken away."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice((1, 1, 2, 4, 8, 64, 1024)))
        kind = random.randrange(7)
        if kind == 0 and start < end:
            data[start] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[start:end] = random.choice(_SNIPPETS)
        elif kind == 2:
            data[start:start] = random.choice(_SNIPPETS)
        elif kind == 3:
            del data[start:end]
        elif kind == 4:
            data[start:start] = data[start:end] * random.choice((1, 2, 30))
        elif kind == 5:
            place = random.randrange(len(data) + 1)
            data[place:place] = data[start:end]
        else:
            data[start:end] = random.randbytes(end - start)
    return bytes(data)


def mutate_json(data, random):
    """`data` with some parts of its JSON value replaced, renamed, doubled or removed; sometimes with other bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    if random.random() < 0.2:
        return mutate_bytes(data, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _mutate_value(value, random)
    try:
        text = json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    for mark, raw in _RAW.items():
        text = text.replace(mark, raw)
    return text


def mutate_json_lines(data, random):
    """`data` with one of its lines put through `mutate_json`; sometimes with other bytes."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    if random.random() < 0.3 or not lines[place]:
        return mutate_bytes(data, random)
    lines[place] = mutate_json(lines[place], random)
    return b"\n".join(lines)


def _any_value(random):
    """One of `_VALUES`, as a copy: what is changed later must be neither a constant nor in two places, or in itself."""
    return copy.deepcopy(random.choice(_VALUES))


def _mutate_value(value, random):
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [key for key, part in parts if isinstance(part, (dict, list)) and part]
    if inner and random.random() < 0.7:
        key = random.choice(inner)
        value[key] = _mutate_value(value[key], random)
        return value
    if not value or not isinstance(value, (dict, list)) or random.random() < 0.1:
        return _any_value(random)
    return _mutate_dict(value, random) if isinstance(value, dict) else _mutate_list(value, random)


def _mutate_dict(value, random):
    key, kind = random.choice(list(value)), random.randrange(6)
    if kind == 0:
        del value[key]
    elif kind == 1:
        value[str(random.choice(_VALUES))] = value.pop(key)
    elif kind == 2:
        value[key] = copy.deepcopy(value[random.choice(list(value))])
    elif kind == 3:
        value[key] = [value[key]]
    else:
        value[key] = _any_value(random)
    return value


def _mutate_list(value, random):
    place, kind = random.randrange(len(value)), random.randrange(5)
    if kind == 0:
        del value[place]
    elif kind == 1:
        value.insert(place, _any_value(random))
    elif kind == 2:
        value.append(copy.deepcopy(value[place]))
    else:
        value[place] = _any_value(random)
    return value
