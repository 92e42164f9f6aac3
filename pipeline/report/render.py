"""Parts to a page. What a part found is rendered by the templates of its name: `.html`, and `.md` where the plain page shows it too."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from pipeline.build import build
from pipeline.report.markdown import lettered

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page as HTML, and as Markdown or nothing."""

    name: str
    html: str
    markdown: str


def sections(parts: Mapping[str, Any], facts: Any) -> list[Section]:
    """``parts`` as section `report` has them, by their ``order``. A part is a function of the facts that gives what its template shows, or
    None where the run has nothing of it."""
    chosen = sorted((one["order"], name, one["part"]) for name, one in parts.items() if one is not None)
    found = []
    for _, _, node in chosen:
        part = build(node, later=True)
        values = part(facts)
        if values is not None:
            found.append(_section(part.func, values))
    return found


def rendered(template: str, *folders: Path, **values: Any) -> str:
    """``template`` is looked for in ``folders``, then in this package's."""
    return environment(*folders).get_template(template).render(values)


def environment(*folders: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html",)),
        finalize=lettered,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _section(part: Any, values: Mapping[str, Any]) -> Section:
    """A module of parts elsewhere says in ``TEMPLATES`` where its templates lie."""
    name = part.__name__
    templates = environment(getattr(sys.modules[part.__module__], "TEMPLATES", TEMPLATES))
    plain = f"{name}.md" in templates.list_templates()
    markdown = templates.get_template(f"{name}.md").render(values) if plain else ""
    return Section(name, templates.get_template(f"{name}.html").render(values), markdown)
