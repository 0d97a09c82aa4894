"""The page as an HTML parser reads it, and the numbers that its cells show."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tables by the title of their heading, each a list of {column: (text, number or None)}, and embedded JSON."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.json, self.scripts, self.tags = {}, [], [], []
        self.title = self.collecting = None
        self.columns, self.row, self.text, self.number = [], None, "", None
        self.all_text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append((tag, named))
        if tag in ("h3", "td", "script"):
            self.collecting, self.text, self.number = tag, "", named.get("data-v")
            self.kind = named.get("type")
        if tag == "tr":
            self.row = []
        if tag == "thead":
            self.columns = []
        if tag == "th":
            self.columns.append(named["data-name"])

    def handle_data(self, data):
        self.all_text += data
        self.text += data

    def handle_endtag(self, tag):
        if tag == "h3":
            self.title = self.text
            self.tables[self.title] = []
        elif tag == "td":
            self.row.append((self.text, None if self.number is None else float(self.number)))
        elif tag == "tr" and self.row:
            self.tables[self.title].append(dict(zip(self.columns, self.row, strict=True)))
        elif tag == "script" and self.kind == "application/json":
            self.json.append(json.loads(self.text))
        elif tag == "script":
            self.scripts.append(self.text)
        if tag == self.collecting:
            self.collecting = None


SIZES = {"µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "MiB": 1.0, "%": 0.01}


def read(text):
    """The number that a cell shows."""
    text = text.replace(",", "").replace("%", " %").lstrip("<>")
    number, _, unit = text.partition(" ")
    return float(number) * SIZES.get(unit, 1.0)
