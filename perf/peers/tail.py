# SPDX-License-Identifier: ISC
"""A picture of long waits: how many operations take longer than so many nanoseconds, both axes logarithmic."""
import html
import math

# In the units of the viewBox.
WIDTH, HEIGHT = 1100, 440
LEFT, RIGHT, TOP, BOTTOM = 110, 300, 14, 40
ROW_HEIGHT = 19
LEAST_NS = 10
LIMIT_NS = 100_000
UNITS = ((1e9, 's'), (1e6, 'ms'), (1e3, 'µs'), (1, 'ns'))

STYLE = '''
svg .grid{stroke:var(--line)}svg .limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:7 4}
svg .limit-text{fill:var(--bad);font-weight:600}svg .curve{fill:none;stroke-linejoin:round}
svg .curve-soma{stroke:var(--soma);stroke-width:2}svg .curve-first{stroke:var(--soma);stroke-width:4.5}
svg .curve-equal{stroke:var(--equal);stroke-width:2}svg .curve-other{stroke:hsl(var(--hue) 45% 42%);stroke-width:1.2}
svg .curve-clock{stroke:var(--soft);stroke-width:2.2;stroke-dasharray:1 4;stroke-linecap:round}
svg .heavy{font-weight:700}
@media(prefers-color-scheme:dark){svg .curve-other{stroke:hsl(var(--hue) 50% 68%)}}'''
# Lines of one colour differ in these.
DASHES = ('none', '9 3', '4 3', '11 3 2 3')


class Line:
    """One map: `kind` is soma, equal, other or clock; `points` are (ns, how many take longer)."""

    def __init__(self, name, kind, points, longest):
        self.name, self.kind, self.points, self.longest = name, kind, points, longest


def ns_text(ns):
    """100000 as 100 µs."""
    size, unit = next((entry for entry in UNITS if ns >= entry[0]), UNITS[-1])
    return f'{ns / size:.3g} {unit}'


def share_text(power):
    """10 to the power as 1 in so many."""
    letters = {0: '', 1: 'k', 2: 'M', 3: 'G'}
    text = f'1 in {10 ** (power % 3)}{letters[power // 3]}'
    nines = {2: 'p99', 3: 'p99.9', 4: 'p99.99'}
    return f'{text} ({nines[power]})' if power in nines else 'all' if power == 0 else text


class Axes:
    """From nanoseconds and shares to places."""

    def __init__(self, size, lines):
        self.size = size
        longest = max(line.longest for line in lines)
        self.decades = max(5, math.ceil(math.log10(longest / LEAST_NS)))
        self.powers = math.ceil(math.log10(size))

    def x(self, ns):
        """From left to right."""
        part = math.log10(max(ns, LEAST_NS) / LEAST_NS) / self.decades
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, share):
        """From all, above, to one in `size`, below."""
        part = -math.log10(max(share, 10 ** -self.powers)) / self.powers
        return TOP + part * (HEIGHT - TOP - BOTTOM)

    def grid(self):
        """A line for every power of ten."""
        low, high = self.y(1), self.y(0)
        parts = []
        for decade in range(self.decades + 1):
            ns = LEAST_NS * 10 ** decade
            x = self.x(ns)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
                         f'<text class="soft" x="{x:.1f}" y="{high + 16:.1f}" text-anchor="middle">{ns_text(ns)}</text>')
        for power in range(self.powers + 1):
            y = self.y(10 ** -power)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                         f'<text class="soft" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share_text(power)}</text>')
        parts.append(f'<text class="soft" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{high + 33:.1f}" text-anchor="middle">'
                     'so many puts take longer than this</text>')
        return ''.join(parts)

    def limit(self):
        """What no put is wanted to take."""
        x = self.x(LIMIT_NS)
        return (f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{self.y(1):.1f}" y2="{self.y(0):.1f}"/>'
                f'<text class="limit-text" x="{x + 5:.1f}" y="{TOP + 12}">{ns_text(LIMIT_NS)}</text>')

    def path(self, line):
        """Through all points, and down to the longest."""
        places = [(self.x(ns), self.y(count / self.size)) for ns, count in line.points if count > 0 and ns < line.longest]
        places = [(self.x(LEAST_NS), self.y(1))] + places + [(self.x(line.longest), self.y(1 / self.size))]
        return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in places)


def manner(lines, line):
    """Class and style of a line: the first of a kind is drawn through, the others dashed; maps that lack something have
    colours of their own."""
    place = [other for other in lines if other.kind == line.kind].index(line)
    if line.kind == 'other':
        return f'curve curve-other" style="--hue:{place * 137 % 360};stroke-dasharray:{DASHES[place % len(DASHES)]}'
    if line.kind == 'clock':
        return 'curve curve-clock'
    kind = 'first' if line.kind == 'soma' and place == 0 else line.kind
    return f'curve curve-{kind}" style="stroke-dasharray:{DASHES[place % len(DASHES)]}'


def plot(title, size, lines):
    """A figure; whoever is first in the list and a Soma is drawn over all others, and strongest."""
    axes = Axes(size, lines)
    parts = [f'<figure><figcaption>{html.escape(title)}</figcaption>'
             f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', axes.grid(), axes.limit()]
    order = {'other': 0, 'clock': 1, 'equal': 2, 'soma': 3}
    for line in sorted(reversed(lines), key=lambda line: order[line.kind]):
        name = html.escape(line.name)
        parts.append(f'<path class="{manner(lines, line)}" d="{axes.path(line)}"><title>{name}: longest '
                     f'{ns_text(line.longest)}</title></path>')
    x = WIDTH - RIGHT + 16
    parts.append(f'<text class="soft" x="{WIDTH - 8}" y="{TOP + 8}" text-anchor="end">longest</text>')
    for row, line in enumerate(lines):
        y = TOP + 10 + ROW_HEIGHT * (row + 1)
        heavy = ' class="heavy"' if line.kind == 'soma' else ''
        parts.append(f'<path class="{manner(lines, line)}" d="M{x} {y}h34"/>'
                     f'<text{heavy} x="{x + 42}" y="{y + 4}">{html.escape(line.name)}</text>'
                     f'<text{heavy} x="{WIDTH - 8}" y="{y + 4}" text-anchor="end">{ns_text(line.longest)}</text>')
    return '\n'.join(parts + ['</svg></figure>'])
