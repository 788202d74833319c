"""What the pages say, wherever it stands in them."""

import re

from cross_account_access.templates import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def marked(name: str, language: str) -> str:
    """The one block that a page marks with a name."""
    (block,) = re.findall(rf"<!-- {name} -->\n```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(block)


def block_with(words: str) -> str:
    """The one block of commands with some words in it."""
    (block,) = (block for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if words in block)
    return str(block)
