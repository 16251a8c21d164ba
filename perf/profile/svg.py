# SPDX-License-Identifier: ISC
"""The flamegraph as an SVG file: complete without its script, searched and zoomed with it."""
import pathlib
from xml.sax.saxutils import escape, quoteattr

from tree import colour_fn, depth_of, tip

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, MARGIN, TOP, BOTTOM = 1200, 10, 64, 30
FRAME_HEIGHT, LETTER_WIDTH, LEAST_WIDTH = 17, 6.7, 0.2


def shorten(name, width):
    """As much of a name as there is room for; '' if that is next to nothing."""
    letters = int((width - 6) / LETTER_WIDTH)
    if letters < 3:
        return ''
    return name if len(name) <= letters else name[:letters - 1] + '…'


class Drawing:
    def __init__(self, root, unit, is_diff):
        self.root, self.unit, self.is_diff = root, unit, is_diff
        self.colour = colour_fn(root, is_diff)
        self.height = TOP + depth_of(root) * FRAME_HEIGHT + BOTTOM
        self.per_value = (WIDTH - 2 * MARGIN) / root.value if root.value else 0
        self.out = []
        self.hidden = 0

    def frame(self, node, x, depth):
        width = node.value * self.per_value
        y = self.height - BOTTOM - (depth + 1) * FRAME_HEIGHT
        name = quoteattr(node.name)
        text = escape(shorten(node.name, width))
        self.out.append(
            f'<g class="f" data-n={name} data-v="{node.value}"><title>{escape(tip(node, self.root, self.unit, self.is_diff))}'
            f'</title><rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{FRAME_HEIGHT - 1}" rx="1.5" '
            f'fill="{self.colour(node)}"/><text x="{x + 3:.2f}" y="{y + 12}">{text}</text></g>\n')

    def frames(self):
        waiting = [(self.root, float(MARGIN), 0)]
        while waiting:
            node, x, depth = waiting.pop()
            self.frame(node, x, depth)
            for child in node.ordered():
                width = child.value * self.per_value
                if width >= LEAST_WIDTH:
                    waiting.append((child, x, depth + 1))
                elif child.value:
                    self.hidden += 1
                x += width
        return ''.join(self.out)


def legend(is_diff):
    if not is_diff:
        return 'the wider, the more; click to zoom'
    return 'red: more than before, blue: less; widths: after, sides scaled to the same total; click to zoom'


def render(root, title, subtitle, unit, is_diff=False):
    drawing = Drawing(root, unit, is_diff)
    frames = drawing.frames() if root.value else \
        f'<text id="empty" x="{WIDTH / 2}" y="{TOP + 10}" text-anchor="middle">no samples</text>\n'
    style, script = ((HERE / 'page' / name).read_text() for name in ('svg.css', 'svg.js'))
    more = f'; {drawing.hidden} frames are too narrow to be drawn' if drawing.hidden else ''
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{WIDTH}" height="{drawing.height}" '
            f'viewBox="0 0 {WIDTH} {drawing.height}" data-margin="{MARGIN}" data-total="{root.value}" '
            f'data-letter="{LETTER_WIDTH}">\n'
            f'<title>{escape(title)}</title>\n<style>{style}</style>\n'
            f'<rect id="paper" width="100%" height="100%"/>\n'
            f'<text id="title" x="{WIDTH / 2}" y="24" text-anchor="middle">{escape(title)}</text>\n'
            f'<text class="quiet" x="{WIDTH / 2}" y="44" text-anchor="middle">{escape(subtitle)}</text>\n'
            f'<text id="reset" class="button" x="{MARGIN}" y="24">Reset zoom</text>\n'
            f'<text id="search" class="button" x="{WIDTH - MARGIN}" y="24" text-anchor="end">Search</text>\n'
            f'<text class="quiet" x="{MARGIN}" y="{drawing.height - 9}">{escape(legend(is_diff) + more)}</text>\n'
            f'<text id="matched" class="quiet" x="{WIDTH - MARGIN}" y="{drawing.height - 9}" text-anchor="end"></text>\n'
            f'<g id="frames">\n{frames}</g>\n'
            f'<script><![CDATA[\n{script}]]></script>\n</svg>\n')
