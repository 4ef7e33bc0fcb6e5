"""Reports: one HTML page that holds its pictures."""

import base64
import io
from html import escape
from string import Template

from mindscience_diffuser.files import write_atomically

PAGE = Template("""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>$title</title><style>
body { font-family: sans-serif; max-width: 1100px; margin: 2em auto; }
td, th { padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; } pre { background: #f4f4f4; padding: 1em; } .warning { color: #b00020; font-weight: bold; }
</style></head><body><h1>$title</h1>
$parts</body></html>
""")


def save_page(path, title, introduction, parts, configuration):
    """Writes a report.

    Args:
        path (Path): The HTML file.
        title (str): Its title.
        introduction (str): A paragraph of text.
        parts (Sequence[tuple]): A heading, and what comes below it as HTML.
        configuration (str): The configuration of the run, as YAML.
    """
    parts = [*parts, ("Configuration", f"<pre>{escape(configuration)}</pre>")]
    body = "\n".join(f"<h2>{escape(heading)}</h2>{content}" for heading, content in parts)
    page = PAGE.substitute(title=escape(title), parts=f"<p>{escape(introduction)}</p>\n{body}")
    write_atomically(path, page)


def picture(figure, alternative):
    """Returns a figure of matplotlib as HTML, with a text for those who cannot see it."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=110)
    return image(raw.getvalue(), "png", alternative)


def image(content, form, alternative):
    """Returns the bytes of a picture as HTML."""
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(alternative)}" src="data:image/{form};base64,{encoded}">'


def table(heads, rows):
    """Returns rows of texts as an HTML table."""
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
