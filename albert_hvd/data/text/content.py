"""What a file holds, by its first bytes: a compression, an archive, text of some encoding, or what is no text.

Endings of names decide only what bytes cannot: whether lines with commas are a table.
"""

import codecs
import re
import struct

import google_crc32c

HEAD_BYTES = 1 << 16
# Shares of odd characters say nothing about less.
FEWEST_CHARACTERS = 16

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"]\0\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
# The longer ones first: the mark of UTF-16 is the beginning of that of UTF-32.
BYTE_ORDER_MARKS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
                    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# (offset, first bytes, what it is)
SIGNATURES = (
    (0, b"\x89PNG", "a PNG picture"), (0, b"\xff\xd8\xff", "a JPEG picture"), (0, b"GIF8", "a GIF picture"),
    (0, b"II*\0", "a TIFF picture"), (0, b"MM\0*", "a TIFF picture"), (0, b"8BPS", "a Photoshop picture"),
    (8, b"WEBP", "a WebP picture"), (4, b"ftyp", "an MP4 film"), (0, b"\x1aE\xdf\xa3", "a Matroska film"),
    (8, b"AVI ", "an AVI film"), (8, b"WAVE", "a WAV recording"), (0, b"OggS", "an Ogg recording"),
    (0, b"ID3", "an MP3 recording"), (0, b"fLaC", "a FLAC recording"), (0, b"%PDF-", "a PDF"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.doc, .xls, .ppt)"),
    (0, b"AT&TFORM", "a DjVu scan"),
    (0, b"SQLite format 3\0", "an SQLite database"), (0, b"\x89HDF", "an HDF5 file"), (0, b"CDF\x01", "a NetCDF file"),
    (0, b"\x93NUMPY", "a NumPy array"), (0, b"ARROW1", "an Arrow file"), (0, b"\xff\xff\xff\xff", "an Arrow stream"),
    (0, b"ORC", "an ORC table"), (0, b"Obj\x01", "an Avro table"), (0, b"PARE", "an encrypted Parquet table"),
    (0, b"GGUF", "a GGUF model"), (0, b"\x7fELF", "a program"), (0, b"MZ", "a program"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"\0asm", "a program"), (0, b"Rar!\x1a\x07", "a RAR archive"), (0, b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (0, b"\x04\x22M\x18", "an lz4 file"), (0, b"LZIP", "an lzip file"), (0, b"\x1f\x9d", "a compress (.Z) file"),
    (0, b"\xff\x06\0\0sNaPpY", "a Snappy file"), (0, b"MSCF", "a cabinet archive"), (0, b"!<arch>", "an ar archive"),
    (0, b"PACK", "a Git pack"), (0, b"wOF", "a font"), (0, b"OTTO", "a font"), (0, b"\0\x01\0\0\0", "a font"),
    (0, b"\xde\x12\x04\x95", "a gettext catalogue"), (0, b"\xff\xfb", "an MP3 recording"), (0, b"BM", "a BMP picture"))
# Signatures that a text may begin with as well; of these there must be a zero byte behind.
_SHORT = frozenset((b"MZ", b"BM", b"ORC", b"PACK", b"GIF8", b"ID3", b"GGUF", b"OTTO", b"MSCF", b"PARE", b"wOF", b"LZIP",
                    b"AVI ", b"WAVE", b"WEBP", b"ftyp", b"8BPS", b"ARROW1"))
_DECOMPRESS = frozenset(("a RAR archive", "a 7z archive", "an lz4 file", "an lzip file", "a compress (.Z) file",
                         "a Snappy file", "a cabinet archive"))

# Text that is no running text, by how it begins: (pattern, what it is, what to do)
_MARKED_UP = tuple((re.compile(pattern, re.IGNORECASE), what, fix) for pattern, what, fix in (
    (r"\s*\{\\rtf", "an RTF document", "save it as plain text"),
    (r"(?:\s*<\?xml[^>]*>)?\s*<mediawiki\b", "a MediaWiki dump",
     "make text of it with WikiExtractor first, and give the folder that it writes"),
    (r"(?:\s*<\?xml[^>]*>)?(?:\s|<!--.*?-->)*<(?:!doctype\s+html|html\b|head\b|body\b)", "an HTML page",
     "extract its text first, such as with trafilatura"),
    (r"\s*(?:<SAMI>|\[Script Info\]|\{\d+\}\{\d+\}|\d:\d\d:\d\d\.\d{3},\d:\d\d:\d\d\.\d{3}\s)",
     "subtitles of a format that is not read", "convert them to .srt, such as with ffmpeg"),
    # Not TTML, which is read.
    (r"\s*<(?:\?xml|!doctype|rss|feed|TEI|TEI\.2|svg|kml|osm|plist)\b(?![\s\S]{0,4000}?<(?:\w+:)?tt[\s>])",
     "an XML document", "extract its text first"),
    (r"WARC/1\.", "a WARC archive", "extract its text first, such as with warcio and trafilatura"),
    (r"-- (?:MySQL|MariaDB|PostgreSQL|phpMyAdmin)\b.*dump|--\n-- PostgreSQL database dump", "a database dump",
     "export its table as CSV or JSON Lines"),
    (r"%!PS", "a PostScript document", "extract its text first, such as with ps2ascii"),
    (r"version https://git-lfs\.github\.com/spec/", "the pointer of Git LFS to a file",
     "fetch the file with git lfs pull"),
    (r"From \S+@\S+ .*\d{4}\n", "a mailbox", "extract its text first")))

# Control characters that no text needs; zero bytes are counted apart.
_CONTROLS = re.compile("[\x01-\x07\x0e-\x19\x1c-\x1f\x7f]")


def compression(head):
    """The compression of a file that begins with `head`: gzip, xz, bzip2 or zstd; None without."""
    for magic, name in COMPRESSIONS.items():
        # After the mark of bzip2, which is text, come a digit and the mark of a block or of the end.
        if head.startswith(magic) and (name != "bzip2" or head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")):
            return name
    # pzstd and others put frames of their own before the data.
    return "zstd" if len(head) > 4 and head[1:4] == b"*M\x18" and head[0] & 0xf0 == 0x50 else None


def archive(head):
    """What a file that begins with `head` is: "zip", "tar", "parquet"; None when none of these."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK00PK\x03\x04")):
        return "zip"
    if head.startswith(b"PAR1"):
        return "parquet"
    return "tar" if _is_tar(head) else None


def _is_tar(head):
    """By the checksum of the first header, which old archives without a signature have as well."""
    header = head[:512]
    if len(header) < 512 or not header[0]:
        return False
    try:
        checksum = int(header[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return checksum == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


def marked_encoding(head):
    """(encoding, length of the mark) by the byte order mark; (None, 0) without one."""
    return next(((encoding, len(mark)) for mark, encoding in BYTE_ORDER_MARKS if head.startswith(mark)), (None, 0))


def binary(head, encoding="utf-8"):
    """(what it is, what to do or None, its encoding or None) of what is no text of `encoding`; None for text.

    Text may have some invalid bytes and some zero bytes, but not mostly such.
    """
    what = _signature(head)
    if what:
        return what, "unpack it first" if what in _DECOMPRESS else None, None
    text = head.decode(encoding, "replace")
    if len(text) < FEWEST_CHARACTERS:
        return None
    zeros, controls, invalid = (number / len(text) for number in (
        text.count("\0"), len(_CONTROLS.findall(text)), text.count("\ufffd")))
    if zeros + controls + invalid <= 0.3 and controls <= 0.1 and (zeros + controls <= 0.02 or invalid <= 0.02):
        return None
    for name, zero_bytes in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zero_bytes.count(0) > 0.7 * len(zero_bytes) and head.count(0) < 0.6 * len(head):
            return "UTF-16 text without a byte order mark", None, name
    if zeros + controls <= 0.02:
        return f"not {encoding} text", None, "cp1252 (of Western languages) or cp1256 (of Arabic)"
    return "binary data", None, None


def _signature(head):
    for offset, magic, what in SIGNATURES:
        if head.startswith(magic, offset) and (magic not in _SHORT or b"\0" in head[:1024]):
            return what
    if len(head) > 12 and _is_record(head):
        return "TFRecords"
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 1 << 27 and b'"' in head[9:16]:
        return "a safetensors file"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[2:3] in b"\x95}]cX(\x8a":
        return "a Python pickle"
    return "a SentencePiece model" if b"<unk>" in head[:32] and head.startswith(b"\n") and b"\0" in head[:64] else None


def _is_record(head):
    """Whether a TFRecord begins here: its length with the right checksum."""
    checksum = google_crc32c.value(head[:8])
    masked = ((checksum >> 15 | checksum << 17) + 0xa282ead8) & 0xffffffff
    return struct.unpack("<I", head[8:12])[0] == masked


def marked_up(text):
    """(what it is, what to do) of text that is no running text but markup of some kind; None for others."""
    return next(((what, fix) for pattern, what, fix in _MARKED_UP if pattern.match(text[:4096])), None)


def zip_content(names):
    """What a zip file with these members is when it is more than an archive of files; None otherwise."""
    names = frozenset(names)
    folders = {name.partition("/")[0] for name in names}
    if "[Content_Types].xml" in names:
        return next((what for folder, what in (("word", "a Word document"), ("xl", "an Excel table"),
                                               ("ppt", "a PowerPoint presentation")) if folder in folders),
                    "an Office document")
    if "mimetype" in names:
        return "an e-book (EPUB)" if "META-INF/container.xml" in names else "an OpenDocument file"
    if "META-INF/MANIFEST.MF" in names or "AndroidManifest.xml" in names:
        return "a Java or Android program"
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch file"
    return "NumPy arrays" if names and all(name.endswith(".npy") for name in names) else None
