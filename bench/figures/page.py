"""A page that holds all it needs: style, figures, and the one script that brings them to life.

Text reaches a page only through templates that escape it, and data only as JSON in which `<`, `>`, `&` and the line
separators of JavaScript are escaped. The page's content policy then allows its own scripts, by their digests, and
nothing else: no address is loaded from, and a script that came with a data set would not run.
"""

import base64
import functools
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


NOTHING = "'none'"


@functools.cache
def _environment(package: str = "bench.figures") -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment


def template(name: str, *, package: str = "bench.figures", **values: Any) -> "Markup":
    """The template `name` of a package's folder `templates` with `values`, which are escaped."""
    from markupsafe import Markup

    return Markup(_environment(package).get_template(name).render(values))  # noqa: S704 - the templates escape


def page(title: str, body: "Markup", style: str = "", *, live: bool = True) -> str:
    """A whole HTML page around `body`, whose figures come from `Figure.embed`, unless none is `live`.

    `style` is more CSS.
    """
    scripts = _scripts() if live else ()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(map(_digest, scripts)) or NOTHING}"
    )
    return template("page.html", title=title, body=body, policy=policy, scripts=scripts, style=style)


def _scripts() -> tuple["Markup", ...]:
    """Vega, Vega-Lite and Vega-Embed in one script, and the few lines that draw this page's figures."""
    from markupsafe import Markup
    from vl_convert import javascript_bundle

    bundle = javascript_bundle()  # type: ignore[call-arg]  # the stub does not know that the snippet is optional
    if "</script" in bundle.lower() or "<!--" in bundle:
        raise RuntimeError("this version of vl-convert has a script that cannot stand in a page")
    return Markup(bundle), Markup(_environment().get_template("embed.js").render())  # noqa: S704 - our own


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
