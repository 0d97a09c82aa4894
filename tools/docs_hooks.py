"""What `make docs` does beyond MkDocs: no page may load anything from elsewhere."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.causalopt")

#: What a browser fetches by itself while a page is read; links that a reader may follow are not among them.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*\b(?:src|data|srcset)=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preconnect|preload|icon|modulepreload))"
    r"[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"')\s]+)|url\([\"']?((?:https?:)?//[^\"')\s]+)",
    re.IGNORECASE,
)


def fetched_from_elsewhere(text: str) -> list[str]:
    """Return the addresses outside the site that a page or style sheet makes a browser fetch."""
    return [next(filter(None, match.groups())) for match in FETCHED.finditer(text)]


def on_post_build(config: Any) -> None:
    """Warn, and so fail a strict build, where a page or style sheet would fetch something from elsewhere."""
    site = Path(config["site_dir"])
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css"):
            for address in fetched_from_elsewhere(file.read_text()):
                log.warning("%s fetches %s", file.relative_to(site), address)
