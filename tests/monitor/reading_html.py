"""What a page says and asks for, as a parser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str | None = None) -> list[Element]:
        """This and what is below, of a tag or of any."""
        below = [
            one for child in self.children if isinstance(child, Element) for one in child.all()
        ]
        return [one for one in (self, *below) if tag is None or one.tag == tag]

    def by_id(self, identity: str) -> Element:
        return next(one for one in self.all() if one.attributes.get("id") == identity)

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    @property
    def figures(self) -> list[float]:
        """Exact values of the figures in it."""
        return [float(one.attributes["value"]) for one in self.all("data")]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(page: bytes) -> Element:
    """Parse a page; every element has to be closed in its place."""
    parser = _Parser()
    parser.feed(page.decode())
    assert [one.tag for one in parser._open] == [""]
    return parser.root
