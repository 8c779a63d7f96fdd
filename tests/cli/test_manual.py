"""The manual says what the code does."""

from __future__ import annotations

import re

import pytest

from tests.cli.manual import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_tells(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m tests.cli.manual"


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md", "docs/exit-codes.md"])
def test_links_lead_to_files(page: str) -> None:
    path = DOCS.parent / page
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []
