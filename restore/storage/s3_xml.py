"""The XML of S3: parsed with nothing in it that S3 does not write.

Elements are searched with `{*}name`: Amazon's are in a namespace, those of its errors and of some other
servers in none.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from restore.errors import TransientStorageError

MAX_ELEMENTS = 100_000
"""Of one answer: the longest page has a tenth of it, and each takes far more memory than its text."""


class _Builder(TreeBuilder):
    """Builds elements; refuses what may declare entities, which could grow without bound, and too many."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        """Called by the parser at the begin of each element."""
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise ParseError("it has too many elements")
        return super().start(tag, attributes)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002
        """Called by the parser before it reads what a DOCTYPE declares."""
        raise ParseError("it has a DOCTYPE")


def parse_xml(body: bytes, *, file: str) -> Element:
    """The root element.

    Raises:
        TransientStorageError: the text was cut short, or is something else.
    """
    parser = XMLParser(target=_Builder())  # noqa: S314 - what makes it unsafe is refused above
    try:
        parser.feed(body)
        return parser.close()
    except (ParseError, ValueError, LookupError) as error:  # the last two: of an encoding that it announces
        raise TransientStorageError("answer of the storage does not parse", file=file, found=error) from error


def texts_of(element: Element) -> dict[str, str]:
    """The texts of the elements directly in this one, by their names.

    All at once: to search for each by `{*}name` takes five times as long.
    """
    return {name_of(child): child.text or "" for child in element}


def name_of(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]
