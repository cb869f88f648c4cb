"""What mkdocs cannot do alone: pages from outside of docs/, links that a code host follows too, and a check for CDNs.

A page links to another file of the repository by its relative path, as code hosts want it. Those files that the site
shows are added to it under their own paths, and the links are turned into links of the site.
"""

import json
import posixpath
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
COPIES = Path(tempfile.mkdtemp())
"""Of notebooks, as they are shown."""
WIDGET = "application/vnd.jupyter.widget-view+json"
DOCS = "docs"
SHOWN = (
    *("LOG.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"),
    *(
        "alignments/*.md",
        "alignments/*.tsv",
        "alignments/LICENSE",
        "benchmarks/README.md",
        "figures/*.png",
        "notebooks/*.ipynb",
    ),
)
"""Files outside of docs/ that are part of the site."""

LINK = re.compile(r"(!?\[[^\]]*\]\()([^()\s#]+)((?:#[^()\s]*)?\))")
REFERENCE = re.compile(r'(href=")([^"#:]+)((?:#[^"]*)?")')
SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.DOTALL | re.IGNORECASE)
ELSEWHERE = re.compile(r"""//(?:unpkg\.com|cdnjs\.|cdn\.)|<script\s+src=""|mathjax""", re.IGNORECASE)
"""Scripts of converted notebooks that fetch others, for formulas, diagrams and live widgets. None is used."""
LOADED = re.compile(
    r"""//(?:unpkg\.com|cdnjs\.|cdn\.)"""
    r"""|<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]*"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]*|@import\s+url\([^)]*\)|\burl\(["']?(?:https?:)?//[^)]*""",
    re.IGNORECASE,
)
CANONICAL = re.compile(r'<link[^>]*rel="(?:canonical|next|prev)"')


@event_priority(100)  # before notebooks are turned into pages
def on_files(files: Files, config: Any) -> Files:
    """Add the files from outside of docs/."""
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            place = path.relative_to(ROOT).as_posix()
            home = pictured(path) if path.suffix == ".ipynb" else ROOT
            files.append(File(place, str(home), config.site_dir, config.use_directory_urls))
    return files


def pictured(path: Path) -> Path:
    """Where a copy of a notebook lies whose widgets are pictures, because no kernel runs behind a page."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].pop(WIDGET, None)
    copy = COPIES / path.relative_to(ROOT)
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    return COPIES


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Turn links to files of the repository into links of the site."""
    return LINK.sub(lambda link: link[1] + site_link(link[2], page.file.src_uri, files) + link[3], markdown)


def on_page_content(html: str, page: Any, files: Files, **_: Any) -> str:
    """The same for notebooks, which are converted as a whole, and with scripts that would be fetched."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = files.get_file_from_path(posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2])))
        found = files.get_file_from_path(resolved(link[2], here)) or target
        return link[0] if found is None else link[1] + posixpath.relpath(found.url, posixpath.dirname(here)) + link[3]

    html = SCRIPT.sub(lambda script: "" if ELSEWHERE.search(script[0]) else script[0], html)
    return REFERENCE.sub(moved, html)


def resolved(link: str, src_uri: str) -> str:
    """The path on the site of what a page of the repository links to."""
    is_outside = any(Path(src_uri).match(pattern) for pattern in SHOWN) and (ROOT / src_uri).is_file()
    home = posixpath.dirname(src_uri if is_outside else f"{DOCS}/{src_uri}")
    return posixpath.normpath(posixpath.join(home, link)).removeprefix(f"{DOCS}/")


def site_link(link: str, src_uri: str, files: Files) -> str:
    """The link as mkdocs wants it; as it was where it leads to nothing of the repository."""
    path = resolved(link, src_uri)
    if files.get_file_from_path(path) is None:
        return link
    return posixpath.relpath(path, posixpath.dirname(src_uri) or ".")


def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a site whose pages would load something from the network.

    Raises:
        PluginError: one does.
    """
    shutil.rmtree(COPIES)
    found = [
        f"{path.relative_to(config.site_dir)}: {match[0][:100]}"
        for path in sorted(Path(config.site_dir).rglob("*"))
        if path.suffix in (".html", ".css")
        for match in LOADED.finditer(path.read_text(encoding="utf-8"))
        if not CANONICAL.match(match[0])
    ]
    if found:
        raise PluginError("the site would not open offline:\n" + "\n".join(found[:20]))
