"""Which column of a table is the text, which the label; and whether its first row names them.

A column is given by name or by number, or found by a name that such columns usually have, or by the order label, text,
second text. Where none of that is certain the table is refused: a header that is read as a text becomes a label, and a
text that is read as a label becomes a class of its own.
"""

import dataclasses
import re

from albert_hvd.errors import InputError, parameter, setting

HEADERS = ("yes", "no")

LABEL, TEXT, PAIR, WORDS, TAGS = "label", "text", "text_pair", "words", "tags"
# The parameter that names the column of a role.
PARAMETERS = {LABEL: "label_column", TEXT: "text_column", PAIR: "text_pair_column", WORDS: "text_column",
              TAGS: "label_column"}

# What such columns are usually called, in lower case; the first one is preferred to the others.
_NAMES = {
    LABEL: ("label", "labels", "gold_label", "class", "category", "sentiment", "emotion", "target", "topic", "intent",
            "polarity", "score", "similarity", "rating", "stars", "is_duplicate", "entailment", "label_id", "kelas",
            "kategori", "sentimen", "emosi", "perasaan", "topik", "sasaran", "skor"),
    TEXT: ("text", "tweet", "sentence", "content", "body", "review", "comment", "message", "document", "post", "teks",
           "ayat", "kandungan", "ulasan", "komen", "mesej", "kicauan", "dokumen"),
    WORDS: ("words", "tokens", "form", "forms", "kata"),
    TAGS: ("tags", "ner_tags", "pos_tags", "upos", "ner", "pos", "labels", "tag"),
}
_PAIRS = (("text", "text_pair"), ("text_a", "text_b"), ("text1", "text2"), ("text_1", "text_2"),
          ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
          ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"), ("question", "answer"),
          ("query", "passage"), ("query", "document"), ("teks1", "teks2"), ("teks_a", "teks_b"), ("ayat1", "ayat2"),
          ("ayat_a", "ayat_b"), ("premis", "hipotesis"))
_IDENTIFIER = re.compile(r"[^\W\d][\w .:/()#?-]{0,39}")
_MOST_WORDS_OF_A_NAME = 3


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the flags say of the columns.

    Attributes:
      text, pair, label: name or number, counted from 1, of a column; None: to be found.
      header: whether the first row of a TSV or CSV holds names, "yes" or "no"; None: to be found.
    """

    text: str = None
    pair: str = None
    label: str = None
    header: str = None

    def of(self, role):
        """The name or number given for a role."""
        return {LABEL: self.label, TEXT: self.text, PAIR: self.pair, WORDS: self.text, TAGS: self.label}[role]


def locate(table, columns, roles):
    """Find the columns of some roles.

    Args:
      table: `tables.Table`.
      columns: `Columns`.
      roles: of those above, in the order of a table without names.

    Returns:
      ({role: index of its column}, the number of columns, list of `tables.Row` without that of the names).

    Raises:
      InputError: a column that there is not, several that may be meant, or a first row that may be names.
    """
    if not table.rows:
        return dict.fromkeys(roles, 0), 0, []
    names, rows = table.names, table.rows
    if names is None and _has_header(table, columns, roles):
        names, rows = tuple(cell.strip() for cell in rows[0].cells), rows[1:]
        again = next((row.line for row in rows if row.cells == table.rows[0].cells), None)
        if again:
            raise InputError(f"{table.path}:{again}: the names of the columns again", "remove the line")
    # A row of fewer cells than there are roles is an error of that row, which says what it should hold.
    width = len(names) if names is not None else max(len(roles), _width(table, columns, roles))
    given = {role: _given(table, columns.of(role), names, width, role) for role in roles if columns.of(role)}
    places = {**given, **(_by_name(table, names, roles, given) if names is not None
                          else _by_order(width, roles, given))}
    lacking = [role for role in roles if role not in places]
    if lacking:
        raise InputError(f"which of its columns ({_listed(table, names, width)}) holds the {_called(lacking[0])} is "
                         "not known", f"name it with {parameter(PARAMETERS[lacking[0]])}", value=table.path)
    doubled = [role for role in roles if list(places.values()).count(places[role]) > 1]
    if doubled:
        raise InputError(f"{' and '.join(map(_called, doubled))} are read from the same column",
                         f"name others with {' and '.join(parameter(PARAMETERS[role]) for role in doubled)}",
                         value=table.path)
    return places, width, rows


def _called(role):
    return {PAIR: "second text"}.get(role, role)


def _listed(table, names, width):
    return ", ".join(names) if names is not None else f"{width} without names"


def _has_header(table, columns, roles):
    """Whether the first row of a table holds names; InputError when it may."""
    if columns.header:
        return columns.header == "yes"
    if any(columns.of(role) and not _is_number(columns.of(role)) for role in roles):
        return True
    first = [cell.strip() for cell in table.rows[0].cells]
    # An index that pandas wrote has no name.
    named = [cell for cell in first if cell]
    if len(named) < 2 or not all(_IDENTIFIER.fullmatch(cell) and len(cell.split()) <= _MOST_WORDS_OF_A_NAME
                                 for cell in named):
        return False
    others = [{row.cells[i].strip() for row in table.rows[1:] if i < len(row.cells)} for i in range(len(first))]
    recurs = any(cell in cells for cell, cells in zip(first, others, strict=True))
    known = _known_roles(first, roles)
    if len(known) == len(roles) or known and not recurs:
        return True
    if not recurs and _may_be_names(table, columns, roles, first):
        text, label = ((parameter(PARAMETERS[role]) for role in (roles[1], roles[0])))
        raise InputError(f"{table.path}:1: {' and '.join(map(repr, first))} may be the names of the columns",
                         f"say {setting('header', 'yes')} or {setting('header', 'no')}, or name the columns with "
                         f"{text} and {label}")
    return False


def _known_roles(names, roles):
    """The roles that some column has a usual name of."""
    lower = [name.lower() for name in names]
    found = {role for role in roles if role in _NAMES and _matching(lower, role)}
    if PAIR in roles and _pair_in(lower):
        found |= {TEXT, PAIR}
    return found


def _may_be_names(table, columns, roles, first):
    """Whether labels and texts below are of another kind than the single words of the first row."""
    label = int(columns.label) - 1 if columns.label else roles.index(LABEL)
    text = int(columns.text) - 1 if columns.text else roles.index(TEXT)
    if max(label, text) >= len(first):
        return False
    rows = [row.cells for row in table.rows[1:] if len(row.cells) > max(label, text)]
    labels = {cells[label] for cells in rows}
    long_texts = sum(len(cells[text].split()) > 1 for cells in rows)
    return len(rows) >= 4 and 2 * len(labels) <= len(rows) and 2 * long_texts >= len(rows) and (
        len(first[text].split()) == 1)


def _is_number(given):
    return given.isascii() and given.isdigit()


def _given(table, given, names, width, role):
    """The index of the column that was given by name or number."""
    lower = [name.lower() for name in names or ()]
    for candidates, name in ((list(names or ()), given), (lower, given.lower())):
        if candidates.count(name) == 1:
            return candidates.index(name)
    if _is_number(given) and 1 <= int(given) <= width:
        return int(given) - 1
    problem = "columns are counted from 1" if _is_number(given) and int(given) < 1 else "no such column"
    fix = f"{table.path} has {_listed(table, names, width)}"
    raise InputError(problem, fix, name=PARAMETERS[role], value=given)


def _width(table, columns, roles):
    """The columns of a table without names; rows of an open one may have more cells than it has columns."""
    widths = {len(row.cells) for row in table.rows}
    given = [int(columns.of(role)) for role in roles if columns.of(role) and _is_number(columns.of(role))]
    if table.is_open and len(widths) > 1 and not given:
        return len(roles)
    return min(len(row.cells) for row in table.rows) if table.is_open and given else len(table.rows[0].cells)


def _by_order(width, roles, given):
    """The roles that were not given, by the order of a table that has these columns alone."""
    free = [place for place in range(width) if place not in given.values()]
    wanted = [role for role in roles if role not in given]
    return dict(zip(wanted, free, strict=True)) if len(free) == len(wanted) else {}


def _by_name(table, names, roles, given):
    lower = ["" if place in given.values() else name.lower() for place, name in enumerate(names)]
    places = {}
    if {TEXT, PAIR} <= set(roles) and not {TEXT, PAIR} & set(given):
        pair = _pair_in(lower)
        if pair:
            places.update({TEXT: lower.index(pair[0]), PAIR: lower.index(pair[1])})
    for role in roles:
        if role in given or role in places or role not in _NAMES or role == TEXT and PAIR in roles:
            continue
        found = _matching(lower, role)
        if len(found) > 1:
            raise InputError(f"several of its columns may hold the {_called(role)}: "
                             f"{', '.join(names[place] for place in found)}",
                             f"name one with {parameter(PARAMETERS[role])}", value=table.path)
        places.update({role: place for place in found})
    wanted = [role for role in roles if role not in given and role not in places]
    free = [place for place in range(len(names)) if place not in given.values() and place not in places.values()]
    # As many columns as roles are left: they have the usual order.
    return {**places, **(dict(zip(wanted, free, strict=True)) if len(wanted) == len(free) else {})}


def _pair_in(lower):
    return next((pair for pair in _PAIRS if pair[0] in lower and pair[1] in lower), None)


def _matching(lower, role):
    """The columns whose names are the usual one of a role, else one of the usual ones, else contain one."""
    usual = _NAMES[role]
    if usual[0] in lower:
        return [lower.index(usual[0])]
    exact = [place for place, name in enumerate(lower) if name in usual]
    if exact:
        return exact
    parts = [set(re.findall(r"[^\W\d_]+", name)) for name in lower]
    return [place for place, words in enumerate(parts)
            if words & set(usual) and not words & {"id", "lang", "language", "length", "date", "url", "source"}]
