"""One page with figures: it needs nothing but itself, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from html import escape

from mlxrepo.paths import display
from mlxrepo.plots.model import IMAGE, Figure
from mlxrepo.plots.vegalite import color_of, specification

MARK = b"<!DOCTYPE html>\n<!-- written by mlx plots -->\n"  # what we wrote we may replace

_FOLDER = os.path.join(os.path.dirname(__file__), "assets")
VEGA = ("vega-6.4.0.min.js", "vega-lite-6.4.3.min.js", "vega-interpreter-2.3.2.js")
_IMPORT = "import { ascending, isString, DisallowedObjectProperties } from 'vega-util';\n"
_EXPORT = "export { expression as expressionInterpreter };"


def page(figures: Sequence[Figure], revs: Sequence[str], title: str) -> bytes:
    """Return a page of figures in HTML; `revs` are all revisions in the order of the legend.

    What is empty is left out but for its notes. Scripts are allowed by their hash alone, and
    whatever comes from files stands in it as escaped text, as JSON, or as an image.
    """
    has_charts = any(f.kind != IMAGE and not f.is_empty for f in figures)
    scripts = [*map(_script, VEGA), _asset("page.js")] if has_charts else []
    parts = [
        MARK.decode() + '<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>",
        f"<h1>{_text(title)}</h1>",
        _legend(revs),
        '<main class="figures">',
        *(part for i, f in enumerate(figures) for part in _section(f, f"spec{i}", revs)),
        "</main>",
        *(f"<script>{script}</script>" for script in scripts),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts).encode("utf-8", "backslashreplace")


def _section(figure: Figure, name: str, revs: Sequence[str]) -> Iterator[str]:
    wide = " wide" if figure.kind == IMAGE or len(figure.matrices) > 1 else ""
    yield f'<section class="figure{wide}"><h2>{_text(figure.title)}</h2>'
    about = [figure.name] if figure.title != figure.name else []
    about += [f"stage {figure.stage}"] if figure.stage else []
    if about:
        yield f'<p class="soft">{_text(", ".join(about))}</p>'
    if figure.pictures:
        yield '<div class="pictures">'
        for picture in figure.pictures:
            data = base64.b64encode(picture.data).decode()
            caption = _text(picture.rev)
            yield (
                f'<figure><img alt="{_text(figure.name)}" src="data:{picture.media};base64,{data}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
        yield "</div>"
    elif not figure.is_empty:
        spec = embedded(specification(figure, revs))
        yield f'<script type="application/json" id="{name}">{spec}</script>'
        yield f'<div class="chart" data-spec="{name}"></div>'
    if figure.notes:
        notes = "".join(f"<li>{_text(note)}</li>" for note in figure.notes)
        yield f'<ul class="notes">{notes}</ul>'
    yield "</section>"


def _legend(revs: Sequence[str]) -> str:
    if len(revs) == 1:
        return f'<p class="soft">{_text(revs[0])}</p>'
    items = "".join(
        f'<li><svg viewBox="0 0 16 7"><rect width="16" height="7" fill="{color_of(i)}"/></svg>'
        f"{_text(rev)}</li>"
        for i, rev in enumerate(revs)
    )
    return f'<ul class="legend">{items}</ul>'


def embedded(value: object) -> str:
    """Return JSON that can stand in a script element: no `<`, and ASCII alone."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(value: str) -> str:
    return escape(display(value))


def _policy(scripts: Sequence[str]) -> str:
    hashes = [
        "'sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() + "'"
        for s in scripts
    ]
    allowed = " ".join(hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _script(name: str) -> str:
    """Return a vendored script as it stands in a page: no module, and no source map to look for."""
    text = _asset(name)
    text = "\n".join(
        line for line in text.split("\n") if not line.startswith("//# sourceMappingURL=")
    )
    if _IMPORT not in text:
        return text
    names = _IMPORT[len("import ") : -len(" from 'vega-util';\n")]
    text = text.replace(_IMPORT, "").replace(_EXPORT, "vega.expressionInterpreter = expression;")
    return f'(function () {{ "use strict"; const {names} = vega;\n{text}\n}})();'


def _asset(name: str) -> str:
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        return file.read()
