"""HTML pages taken apart, and a text that would take apart a page."""

import html.parser
import re

HOSTILE = """</style></script><script>alert(1)</script><img src=http://x.y/z onerror='a("&amp;")'>"""


class Document(html.parser.HTMLParser):
    """A page as its tags with their attributes, its texts, and its tables as {caption: rows}."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.tables = [], [], {}
        self._open = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        while self._open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append(data)
        if "caption" in self._open:
            self.tables[data] = self._rows
        elif "th" in self._open or "td" in self._open:
            self._rows[-1][-1] += data


def requests_of(document):
    """What a page's tags would have a browser fetch."""
    return [value for tag, attributes in document.tags for name, value in attributes.items()
            if (name in ("src", "href", "srcset", "action", "data") or re.search(r"url\(|@import", value or ""))
            and not re.match(r"(data:|#|url\(#)", value)]
