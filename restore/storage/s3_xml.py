"""The XML of S3: parsed with nothing in it that S3 does not write.

Elements are searched with `{*}name`: Amazon's are in a namespace, those of its errors and of some other
servers in none.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from restore.errors import TransientStorageError


class _Builder(TreeBuilder):
    """Builds elements; refuses what may declare entities, which could grow without bound."""

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


def name_of(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]
