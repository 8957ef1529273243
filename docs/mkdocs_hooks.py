"""Hooks of mkdocs.yml: links that leave docs/, and Mermaid from a file of the site's own."""

import posixpath
import re
from typing import Any

MERMAID = "javascripts/mermaid.min.js"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Links to files of the repository that are no pages go to `repo_url`, or become text while there is none."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        if path.startswith("docs/"):
            return match[0]
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})" if config.repo_url else text

    return _LINK.sub(link, markdown)


def on_files(files: Any, *, config: Any) -> Any:
    """Material draws diagrams with the Mermaid that a page has loaded, and asks unpkg.com only where none has."""
    if files.get_file_from_path(MERMAID):
        config.extra_javascript.append(MERMAID)
    return files
