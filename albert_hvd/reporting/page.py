"""HTML by elements: texts are escaped because there is no other way to put them in."""

import xml.etree.ElementTree as ElementTree

from albert_hvd.reporting.drawing import THEME

# The browser itself holds the page to this: nothing is fetched and no script runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
* { box-sizing: border-box; stroke-linejoin: round; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--text); background: var(--background);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 44rem; }
.note, caption, figcaption, th { color: var(--muted); }
.charts { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; }
figcaption { font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: .5rem 0 1rem; padding: 0; }
.swatch { display: inline-block; width: 1.25rem; height: .25rem; margin-right: .5rem; vertical-align: middle; }
.outline { height: .6rem; border: 1px dashed; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; }
th, td { padding: .25rem .5rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
td { min-width: 5.2rem; }
tbody th { min-width: 5.6rem; }
@media (min-width: 40rem) { tbody th { min-width: 14rem; } }
tr.differs td { font-weight: 600; }
tr.differs th::after { content: " \\2260"; }
details > summary { cursor: pointer; color: var(--muted); }
"""


def element(tag, *children, **attributes):
    """An element.

    Args:
      children: elements, or anything else, which becomes text; None is left out.
      attributes: `class_` stands for class, `aria_label` for aria-label.
    """
    node = ElementTree.Element(tag, {name.rstrip("_").replace("_", "-"): str(value)
                                     for name, value in attributes.items()})
    last = None
    for child in children:
        if isinstance(child, ElementTree.Element):
            node.append(child)
            last = child
        elif child is not None and last is None:
            node.text = (node.text or "") + str(child)
        elif child is not None:
            last.tail = (last.tail or "") + str(child)
    return node


def table(caption, header, rows, differing=()):
    """A table whose first row and first column are headers.

    Args:
      caption: what the table shows.
      header: texts of the first row, that of the first column included.
      rows: lists of texts; the first of each is the row's header.
      differing: headers of the rows to stress, since the runs differ in them.
    """
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in header)))
    body = element("tbody", *(
        element("tr", element("th", row[0], scope="row"), *(element("td", text) for text in row[1:]),
                **({"class_": "differs"} if row[0] in differing else {})) for row in rows))
    # A table of many runs scrolls in itself, with the keyboard too; the page does not.
    return element("div", element("table", element("caption", caption), head, body),
                   class_="table", role="region", tabindex=0, aria_label=caption)


def section(title, *children):
    return element("section", element("h2", title), *children)


def legend(entries):
    """What colours mean.

    Args:
      entries: pairs of a text and the role of its colour, or triples with False where it is only an outline.
    """
    def swatch(role, is_filled=True):
        style = f"background: var(--{role})" if is_filled else f"border-color: var(--{role})"
        return element("span", class_="swatch" if is_filled else "swatch outline", style=style)

    return element("ul", *(element("li", swatch(*colour), text) for text, *colour in entries), class_="legend")


def gallery(charts, to_svg):
    """Charts beside each other, as `to_svg` draws them, under their titles."""
    return element("div", *(element("figure", element("figcaption", chart.title), to_svg(chart)) for chart in charts),
                   class_="charts")


def render(title, *children):
    """The whole page as UTF-8 bytes."""
    head = element(
        "head", element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        # Without an icon of its own a browser asks the server for one.
        element("link", rel="icon", href="data:,"),
        element("title", title), element("style", _variables() + _STYLE))
    root = element("html", head, element("body", element("main", *children)), lang="en")
    text = ElementTree.tostring(root, encoding="unicode", method="html")
    return ("<!doctype html>\n" + text + "\n").encode("utf-8", errors="replace")


def _variables():
    """The colours as CSS variables, for light and dark mode."""
    light, dark = ("".join(f"--{role}: {colours[mode]}; " for role, colours in THEME.items()) for mode in (0, 1))
    return f"\n:root {{ {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}"
