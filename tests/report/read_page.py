"""A page as a browser's parser sees it, as far as tests ask."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements with their attributes, the text by table cell, and what scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._inside:
            self.scripts[-1] += data
        elif "style" not in self._inside:
            self.text += data
            if ("td" in self._inside or "th" in self._inside) and self.rows and self.rows[-1]:
                self.rows[-1][-1] += data

    def words(self) -> str:
        """All text on one line."""
        return " ".join(self.text.split())

    def row(self, *begin: str) -> list[str]:
        """The first row whose cells begin so."""
        cells = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        return next(row for row in cells if row[: len(begin)] == list(begin))
