"""The dialogue of subtitles: SubRip (.srt), WebVTT (.vtt) and TTML (.ttml, .dfxp)."""

import html
import re

_TIMING = re.compile(r"\s*(?:\d{1,3}:)?\d{1,2}:\d{2}[,.:]\d{1,3}\s*-->\s*(?:\d{1,3}:)?\d{1,2}:\d{2}[,.:]\d{1,3}")
_NUMBER = re.compile(r"\s*\d+\s*$")
_VTT = re.compile(r"WEBVTT(?:[ \t\n\r]|$)")
_VTT_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")
_TTML = re.compile(r"(?:\s*<\?xml[^>]*>)?(?:\s|<!--.*?-->)*<(?:\w+:)?tt[\s>]", re.DOTALL)
_PARAGRAPH = re.compile(r"<(?:\w+:)?p(?:\s[^<>]*)?>(.*?)</(?:\w+:)?p\s*>", re.DOTALL)
_BREAK = re.compile(r"<(?:\w+:)?br\s*/?>")
# <i>, <font ...>, <c.yellow>, <v Siti>, <00:01.000>, and {\an8} of other programs.
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<\d[\d:.]{1,15}>|\{\\[^{}]{0,80}\}")
# What is heard and who speaks: [muzik], [lelaki] Ya, and a whole line in round brackets.
_SOUND = re.compile(r"\[[^\[\]]*\]|^\s*\([^()]*\)\s*$", re.MULTILINE)
_DASH = re.compile(r"\s*[-–—]\s*")
_MOST_CHARACTERS = 1 << 26  # a film has a tenth of a million


def is_subtitles(head):
    """Whether text that begins so is subtitles of a kind that `read` knows."""
    lines = head[:4096].lstrip("\ufeff\r\n\t ").splitlines()[:3]
    return bool(_TTML.match(head) or _VTT.match(head) or lines and (
        _TIMING.match(lines[0]) or len(lines) > 1 and _NUMBER.match(lines[0]) and _TIMING.match(lines[1])))


def read(file, head):
    """Yield the one document of a subtitle file, a list of lines: what a speaker says at a time is a line."""
    cues = _ttml_cues(file) if _TTML.match(head) else _cues(file, bool(_VTT.match(head)))
    lines = [line for cue in cues for line in _spoken(cue)]
    if lines:
        yield lines


def _cues(file, is_vtt):
    """The texts of the cues, with line ends within them."""
    cue, in_block, last = [], False, None
    for line in iter(lambda: file.readline(_MOST_CHARACTERS), ""):
        line = line.strip("\ufeff \t\r\n")
        if _TIMING.match(line):
            # The number of the next cue, in WebVTT any name after a blank line, stands before its times.
            if cue and (_NUMBER.match(cue[-1]) or is_vtt and (len(cue) == 1 or not cue[-2])):
                cue.pop()
            yield "\n".join(cue)
            cue, in_block = [], False
            continue
        if is_vtt:
            starts = not cue or not cue[-1]
            in_block = bool(line) and (in_block or starts and bool(_VTT_BLOCK.match(line)))
            said = _TAG.sub("", line).strip()
            if in_block or said and said == last:  # captions that roll say each line again
                continue
            last = said or last
        cue.append(line)
    yield "\n".join(cue)


def _ttml_cues(file):
    text = file.read(_MOST_CHARACTERS)
    return (html.unescape(_TAG.sub("", _BREAK.sub("\n", " ".join(paragraph[1].split()))))
            for paragraph in _PARAGRAPH.finditer(text))


def _spoken(cue):
    """The lines of a cue, one for each speaker: the others are only as long as the screen is wide."""
    spoken = []
    for line in _SOUND.sub("", _TAG.sub("", cue)).split("\n"):
        dash = _DASH.match(line)
        line = " ".join(line[dash.end() if dash else 0:].split())
        if not line:
            continue
        if spoken and not dash:
            spoken[-1] += f" {line}"
        else:
            spoken.append(line)
    return spoken
