# SPDX-License-Identifier: ISC
"""The flamegraph as one HTML file that needs nothing else: zoom, search, tooltips, a table of functions."""
import html
import json
import pathlib
import re

from tree import colour_fn

HERE = pathlib.Path(__file__).resolve().parent


class Table:
    """Numbers for texts that come often."""

    def __init__(self):
        self.texts = {}

    def __call__(self, text):
        return self.texts.setdefault(text, len(self.texts))


def pack(root, is_diff):
    """The tree as the script wants it: nodes [name, value, before, colour, children], names and colours by number."""
    names, colours, colour = Table(), Table(), colour_fn(root, is_diff)

    def pack_node(node):
        before = round(node.before, 3) if is_diff else 0
        return [names(node.name), node.value, before, colours(colour(node)), []]

    top = pack_node(root)
    waiting = [(root, top)]
    while waiting:
        node, packed = waiting.pop()
        for child in node.ordered():
            packed[4].append(pack_node(child))
            waiting.append((child, packed[4][-1]))
    return {'root': top, 'names': list(names.texts), 'colours': list(colours.texts)}


def as_script(data):
    """JSON that may stand in a script element."""
    return json.dumps(data, separators=(',', ':'), ensure_ascii=True).replace('<', '\\u003c')


def render(root, title, subtitle, unit, notes, is_diff=False):
    data = pack(root, is_diff)
    data.update(unit=unit, diff=is_diff)
    text = (HERE / 'page' / 'page.html').read_text()
    parts = {'title': html.escape(title), 'subtitle': html.escape(subtitle),
             'notes': ''.join(f'<p>{html.escape(note)}</p>' for note in notes),
             'style': (HERE / 'page' / 'page.css').read_text(), 'script': (HERE / 'page' / 'page.js').read_text(),
             'data': as_script(data)}
    return re.sub(r'{{(\w+)}}', lambda match: parts[match[1]], text)
