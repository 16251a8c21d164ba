# SPDX-License-Identifier: ISC
"""What the bench of peers found: figures, who won, as CSV, as text and as one HTML file that needs nothing else."""
import csv
import html
import math
import os
import platform
import statistics
import time

import tail

# What a map can lack, in words. The first four are guarantees that a program may rely on: maps without one of them are
# not compared as equals.
LACKS = {
    'reads-lock': 'lookups take locks',
    'writes-lock': 'updates take locks',
    'one-writer': 'one writer at a time, here behind a mutex',
    'fixed-size': 'needs its size beforehand',
    'register': 'threads must register',
    'rest': 'threads must keep telling that they hold nothing',
    'no-old': 'a store does not tell the old value',
    'some-keys': 'some words cannot be keys',
    'no-scan': 'cannot be scanned',
    'no-map': 'everything but being filled once and read',
}
GUARANTEES = {'reads-lock', 'writes-lock', 'one-writer', 'fixed-size'}

# The figure that decides a cell, its unit, and whether more of it is better.
DECIDES = {'latency': ('p99.9-ns', 'ns', False), 'growth': ('p99.99-ns', 'ns', False),
           'memory': ('bytes', 'bytes an entry', False)}
MOPS = ('Mops', 'Mops', True)

# What stands beside the least that a lookup can cost: who, the limit, and how many times its time is wanted at most
# where all keys are there and most of them in no cache.
LIMITED = ('get-hit', 'get-half')
LIMIT_PAIRS = (('soma', 'linear', 1.6), ('soma-batch', 'linear-batch', 1.5))
LIMIT_WANTED = ('get-hit', 10_000_000)

WORKS = {
    'get-hit': 'lookups of keys that are there',
    'get-half': 'lookups, half of the keys are there',
    'mix95': '95 % lookups, 2.5 % insertions, 2.5 % removals; half of the keys are there',
    'upsert90': '90 % lookups, 10 % stores; all keys are there',
    'mix50': '50 % lookups, 25 % insertions, 25 % removals; half of the keys are there',
    'latency': 'mix95, uniform, every operation timed by itself',
    'load': 'from nothing to all entries',
    'growth': 'from nothing to all entries, every put timed by itself',
    'scan': 'going through all entries',
    'memory': 'resident memory, filled by one thread in a process of its own',
}


def size_text(size):
    """10000 as 10k."""
    return f'{size // 1_000_000}M' if size % 1_000_000 == 0 else f'{size // 1000}k'


def figure_text(value):
    """Three digits."""
    if value is None:
        return '-'
    if value >= 1e6:
        return f'{value / 1e6:.3g}M'
    if value >= 1e4:
        return f'{value / 1e3:.3g}k'
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


# What runs beside growth without a map, and how the points of its curves are called: over-39-ns.
CLOCK = 'clock-only'
CURVE = 'over-'


class Peer:
    """A map, and what it lacks of what Soma promises."""

    def __init__(self, name, lacks, about):
        self.name, self.lacks, self.about = name, lacks, about
        self.soma = name.startswith('soma')
        self.limit = 'no-map' in lacks
        self.equal = not self.soma and not self.limit and not GUARANTEES & set(lacks)

    def lacks_text(self):
        """In words."""
        lacks = ['no-map'] if self.limit else self.lacks
        return '; '.join(LACKS[lack] for lack in lacks) or 'nothing'


class Verdict:
    """Soma's figure in a cell against another map's."""

    def __init__(self, results, cell, peer):
        _, _, more = DECIDES.get(cell.work, MOPS)
        soma, other = results.samples(cell, 'soma'), results.samples(cell, peer)
        mine, theirs = statistics.median(soma), statistics.median(other)
        self.peer = peer
        self.figure = theirs
        self.ratio = mine / theirs if more else theirs / mine
        # Each median within the other's rounds: the difference may be chance.
        self.chance = len(soma) > 1 and min(other) <= mine <= max(other) and min(soma) <= theirs <= max(soma)

    def text(self):
        """Won or lost, plainly."""
        word = 'won' if self.ratio > 1 else 'lost'
        return f'{word}, may be chance' if self.chance else word


# The columns that perf/compare reads, and how much was asked for.
COLUMNS = ('build', 'bench', 'map', 'metric', 'entries', 'threads', 'batch', 'median', 'least', 'greatest', 'rounds',
           'asked')
# The figure that says of a map that it went wrong in a cell.
FAILED = 'failed'


class Broken(Exception):
    """A file of figures that does not say what it should."""


def asked_of(options):
    """Rounds, seconds and budget in one word, as in 5x0.5/60."""
    return f'{options.rounds}x{options.seconds:g}/{options.budget:g}'


def asked_text(asked):
    """The same as a sentence."""
    rounds, rest = asked.split('x')
    seconds, budget = rest.split('/')
    return f'Asked for {rounds} rounds of {seconds} s; a cell begins no further round after {budget} s.'


def read_csv(path):
    """Its rows, by column."""
    try:
        with open(path, encoding='utf-8', newline='') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Broken(f'cannot read {path}: {getattr(error, "strerror", None) or error}') from error
    for row in rows:
        if tuple(row) != COLUMNS or None in row.values():
            raise Broken(f'{path} has not the columns that this program writes')
    return rows


def samples_of(row):
    """As many rounds as there were, with the same median, least and greatest."""
    median, least, greatest, rounds = (float(row['median']), float(row['least']), float(row['greatest']),
                                       int(row['rounds']))
    if rounds < 3:
        return [least, greatest][:rounds]
    return [least] + [median] * (rounds - 2) + [greatest]


class Results:
    """Figures of all rounds."""

    def __init__(self, label, cells, peers):
        self.label, self.cells, self.peers = label, cells, peers
        self.figures = {}   # (cell, map, figure): one sample a round
        self.failures = {}  # (cell, map): what went wrong
        self.asked = {}     # cell: how much was asked for; only of cells that are done
        self.merged = False
        self.began = time.gmtime()

    def add(self, cell, peer, measured):
        """What one measurement gave: figures, or a text that says what went wrong."""
        if isinstance(measured, str):
            self.failures[cell.name, peer] = f'{cell.name}: {measured}'
            return
        for figure, value in measured.items():
            self.figures.setdefault((cell.name, peer, figure), []).append(value)

    def take(self, cell, rows):
        """What an earlier run found in a cell, instead of what is known of it."""
        self.drop(cell)
        for row in rows:
            if row['metric'] == FAILED:
                self.failures[cell.name, row['map']] = f'{cell.name}: {row["map"]}: went wrong in an earlier run'
            else:
                self.figures[cell.name, row['map'], row['metric']] = samples_of(row)
        self.asked[cell.name] = rows[0]['asked']

    def drop(self, cell):
        """Forgets a cell."""
        self.figures = {key: samples for key, samples in self.figures.items() if key[0] != cell.name}
        self.failures = {key: text for key, text in self.failures.items() if key[0] != cell.name}
        self.asked.pop(cell.name, None)

    def drop_unfinished(self):
        """Forgets the cell in which a run was interrupted: its maps did not have the same turns."""
        for cell in self.cells:
            if cell.name not in self.asked:
                self.drop(cell)

    def done(self, cell, peers, asked):
        """Whether all these maps were measured, as it is asked for now, and none went wrong."""
        return (self.asked.get(cell.name) == asked and all(self.samples(cell, peer) for peer in peers)
                and not any(name == cell.name for name, _ in self.failures))

    def failed(self, cell, peer):
        """A map that went wrong is out of the cell."""
        return (cell.name, peer) in self.failures

    def samples(self, cell, peer, figure=None):
        """Of the figure that decides, or of another one."""
        if self.failed(cell, peer):
            return []
        return self.figures.get((cell.name, peer, figure or DECIDES.get(cell.work, MOPS)[0]), [])

    def median(self, cell, peer, figure=None):
        """None if it was not measured."""
        samples = self.samples(cell, peer, figure)
        return statistics.median(samples) if samples else None

    def curve(self, cell, peer):
        """How many puts are longer than so many ns: pairs, up to the longest put. A point that a round lacks is 0."""
        rounds = len(self.samples(cell, peer, 'longest-ns'))
        points = []
        for (name, whose, figure), samples in self.figures.items():
            if (name, whose) == (cell.name, peer) and figure.startswith(CURVE):
                ns = int(figure.removeprefix(CURVE).removesuffix('-ns'))
                points.append((ns, statistics.median(samples + [0] * (rounds - len(samples)))))
        return sorted(points)

    def best(self, cell, wanted):
        """Soma against the best of the maps that are wanted; None if either was not measured."""
        verdicts = [Verdict(self, cell, peer.name) for peer in self.peers
                    if wanted(peer) and self.samples(cell, 'soma') and self.samples(cell, peer.name)]
        return min(verdicts, key=lambda verdict: verdict.ratio, default=None)

    def best_equal(self, cell):
        """Among the maps with the same guarantees."""
        return self.best(cell, lambda peer: peer.equal)

    def best_other(self, cell):
        """Among all maps but Soma, whatever they lack."""
        return self.best(cell, lambda peer: not peer.soma and not peer.limit)

    def missed(self, cell):
        """Whether others answered and Soma has no call for it."""
        return not self.samples(cell, 'soma') and any(self.samples(cell, peer.name) for peer in self.peers
                                                         if not peer.limit)

    def rounds(self, cell):
        """How many the cell got."""
        return max((len(self.samples(cell, peer.name)) for peer in self.peers), default=0)

    def measured(self):
        """The cells that have figures."""
        return [cell for cell in self.cells if self.rounds(cell) > 0]

    def write_csv(self, path):
        """The cells that are done. The file is whole at any time: who is interrupted can go on from it."""
        cells = {cell.name: cell for cell in self.cells}
        whole = path.with_name(path.name + '.part')
        with open(whole, 'w', encoding='utf-8') as file:
            print(','.join(COLUMNS), file=file)
            for (name, peer, figure), samples in self.figures.items():
                if name in self.asked and (name, peer) not in self.failures:
                    self._write_row(file, cells[name], peer, figure, samples)
            for name, peer in self.failures:
                if name in self.asked:
                    self._write_row(file, cells[name], peer, FAILED, [1])
        whole.replace(path)

    def _write_row(self, file, cell, peer, figure, samples):
        print(f'{self.label},{cell.bench},{peer},{figure},{cell.size},{cell.threads},0,'
              f'{statistics.median(samples):.6g},{min(samples):.6g},{max(samples):.6g},{len(samples)},'
              f'{self.asked[cell.name]}', file=file)


def count_text(results, best, what):
    """How many cells Soma won against whom."""
    verdicts = [verdict for verdict in map(best, results.cells) if verdict]
    won = sum(verdict.ratio > 1 for verdict in verdicts)
    return f'Against {what}: {won} of {len(verdicts)} cells won, {len(verdicts) - won} lost.'


def summary(results):
    """Plain sentences."""
    lines = [count_text(results, results.best_equal, 'the best map with the same guarantees'),
             count_text(results, results.best_other, 'the best map of all, whatever it lacks')]
    missed = [cell.name for cell in results.cells if results.missed(cell)]
    if missed:
        lines.append(f'Lost without a figure, since Soma has no such call or failed: {", ".join(missed)}.')
    return lines


def over_limit(results, cell, name, limit):
    """How many times the limit's time a lookup takes; None if either was not measured."""
    mine, least = results.median(cell, name), results.median(cell, limit)
    return least / mine if mine and least else None


def limit_text(cell, ratio, most):
    """With what is wanted of the cell, if anything is."""
    if ratio is None:
        return '-'
    if (cell.work, cell.size) != LIMIT_WANTED:
        return f'{ratio:.2f}x'
    return f'{ratio:.2f}x, {"met" if ratio <= most else "missed"} (wanted: at most {most}x)'


LIMIT_TITLE = 'Time over the least that a lookup can cost'
LIMIT_HEADS = ['cell'] + [f'{name} over {limit}' for name, limit, _ in LIMIT_PAIRS]


def limit_rows(results):
    """Soma's time beside the least that a lookup can cost, a row a cell."""
    table = []
    for cell in results.measured():
        ratios = [over_limit(results, cell, name, limit) for name, limit, _ in LIMIT_PAIRS]
        if any(ratios):
            table.append([cell.name] + [limit_text(cell, ratio, most)
                                        for ratio, (_, _, most) in zip(ratios, LIMIT_PAIRS)])
    return table


HEADS = ['cell', 'unit', 'soma', 'soma-spacious', 'soma-batch', 'best of the same guarantees', 'its figure', 'ratio', '',
         'best of all', 'its figure', 'ratio', '', 'rounds']


def marked(results, name):
    """The name of a map with the guarantees that it lacks."""
    lacks = [lack for peer in results.peers if peer.name == name for lack in peer.lacks if lack in GUARANTEES]
    return f'{name} ({", ".join(lacks)})' if lacks else name


def verdict_cells(results, verdict):
    """Four columns."""
    if not verdict:
        return ['-', '-', '-', '-']
    return [marked(results, verdict.peer), figure_text(verdict.figure), f'{verdict.ratio:.2f}x', verdict.text()]


def leader(results, cell):
    """Who is best where Soma has no figure."""
    _, _, more = DECIDES.get(cell.work, MOPS)
    medians = [(results.median(cell, peer.name), peer.name) for peer in results.peers
               if not peer.limit and results.samples(cell, peer.name)]
    value, name = max(medians) if more else min(medians)
    return [marked(results, name), figure_text(value), '-', 'lost']


def rows(results):
    """A row a cell."""
    table = []
    for cell in results.measured():
        best = leader(results, cell) if results.missed(cell) else verdict_cells(results, results.best_other(cell))
        table.append([cell.name, DECIDES.get(cell.work, MOPS)[0], figure_text(results.median(cell, 'soma')),
                      figure_text(results.median(cell, 'soma-spacious')), figure_text(results.median(cell, 'soma-batch')), *verdict_cells(results, results.best_equal(cell)), *best,
                      str(results.rounds(cell))])
    return table


def print_columns(table):
    """Words to the left, with the columns as wide as they must be."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print('  '.join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def print_table(results):
    """Every cell, and the sums."""
    print_columns([HEADS] + rows(results))
    print()
    if limit_rows(results):
        print(LIMIT_TITLE)
        print_columns([LIMIT_HEADS] + limit_rows(results))
        print()
    for line in summary(results):
        print(line)
    print()


def markdown_table(heads, table):
    """For a page of the documentation."""
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '---|' * len(heads)]
    return lines + ['| ' + ' | '.join(row) + ' |' for row in table]


def write_markdown(path, results):
    """Every cell, the limits, and the sums."""
    lines = markdown_table(HEADS, rows(results)) + ['']
    if limit_rows(results):
        lines += [f'{LIMIT_TITLE}:', ''] + markdown_table(LIMIT_HEADS, limit_rows(results)) + ['']
    lines.append(f'Build {results.label}.')
    lines += [asked_text(asked) for asked in sorted(set(results.asked.values()))]
    lines += summary(results)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')


def print_list(cells, peers, duration):
    """What there is."""
    for cell in cells:
        print(cell.name)
    print()
    print_columns([[peer.name, peer.about, f'lacks: {peer.lacks_text()}'] for peer in peers])
    print(f'\n{len(cells)} cells, {len(peers)} maps, about {duration}')


# ---- HTML ----

STYLE = '''
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#6a7078;--line:#d9dce0;--back:#fff;--card:#f6f7f8;--good:#12793c;
--bad:#b3261e;--soma:#1f6feb;--equal:#e08600;--other:#a8aeb6}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#9aa1a9;--line:#363b41;--back:#16181b;--card:#1f2226;
--good:#57c785;--bad:#ff8a80;--soma:#6cb0ff;--equal:#f4b450;--other:#686f78}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1400px;margin:2rem auto;
padding:0 1rem}h2{margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}p{max-width:80ch;margin:.5rem 0}
.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem .2rem 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
td.t{white-space:normal}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
figure{margin:1rem 0;padding:.9rem;background:var(--card);border-radius:8px}figcaption{font-weight:600}
svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font:11px system-ui,sans-serif}
svg .soft{fill:var(--soft)}.soma{fill:var(--soma)}.equal{fill:var(--equal)}.other{fill:var(--other)}
svg line{stroke:var(--other)}summary{cursor:pointer}'''

# A chart, in the units of its viewBox.
NAMES_WIDTH = 110
PANEL_WIDTH = 270
FIGURE_WIDTH = 60
ROW_HEIGHT = 16
HEAD_HEIGHT = 22


def tell_class(peer):
    """The colour of a map."""
    return 'soma' if peer.soma else 'equal' if peer.equal else 'other'


def bar(results, cell, peer, x, y, most):
    """One map in one cell: a bar and its figure."""
    value = results.median(cell, peer.name)
    if value is None:
        return f'<text class="soft" x="{x}" y="{y + 12}">-</text>'
    wide = max(1, value / most * (PANEL_WIDTH - FIGURE_WIDTH))
    least, greatest = min(results.samples(cell, peer.name)), max(results.samples(cell, peer.name))
    return (f'<rect class="{tell_class(peer)}" x="{x}" y="{y + 2}" width="{wide:.1f}" height="{ROW_HEIGHT - 4}">'
            f'<title>{peer.name}: {figure_text(value)}, rounds from {figure_text(least)} to {figure_text(greatest)}'
            f'</title></rect><text x="{x + wide + 4:.1f}" y="{y + 12}">{figure_text(value)}</text>')


LATENCIES = ('p50-ns', 'p99-ns', 'p99.9-ns')


def dots(results, cell, peer, x, y, most):
    """One map in one cell: its percentiles, on a logarithmic axis from 10 ns."""
    values = [results.median(cell, peer.name, figure) for figure in LATENCIES]
    if None in values:
        return f'<text class="soft" x="{x}" y="{y + 12}">-</text>'
    places = [x + math.log10(max(value, 10) / 10) / math.log10(most / 10) * (PANEL_WIDTH - FIGURE_WIDTH)
              for value in values]
    middle = y + ROW_HEIGHT / 2
    title = ', '.join(f'{figure} {figure_text(value)}' for figure, value in zip(LATENCIES, values))
    marks = ''.join(f'<circle class="{tell_class(peer)}" cx="{place:.1f}" cy="{middle}" r="{radius}"/>'
                    for place, radius in zip(places, (2.5, 3.5, 4.5)))
    return (f'<g><title>{peer.name}: {title}</title><line x1="{places[0]:.1f}" x2="{places[-1]:.1f}" y1="{middle}" '
            f'y2="{middle}"/>{marks}</g><text x="{places[-1] + 8:.1f}" y="{y + 12}">{figure_text(values[-1])}</text>')


def most_of(results, cells):
    """The longest bar of a chart."""
    return max((results.median(cell, peer.name) or 0 for cell in cells for peer in results.peers), default=0) or 1


def panel_title(cell):
    """What differs between the panels of a chart."""
    if cell.work == 'memory':
        return size_text(cell.size)
    return f'{cell.threads} thread' + ('s' if cell.threads > 1 else '')


def chart(results, title, cells):
    """Panels side by side, a row a map."""
    _, unit, more = DECIDES.get(cells[0].work, MOPS)
    latency = cells[0].work == 'latency'
    peers = [peer for peer in results.peers if any(results.samples(cell, peer.name) for cell in cells)]
    width = NAMES_WIDTH + PANEL_WIDTH * max(len(cells), 3)
    height = HEAD_HEIGHT + ROW_HEIGHT * len(peers) + 4
    most = most_of(results, cells)
    parts = [f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {width} {height}" role="img">']
    for row, peer in enumerate(peers):
        parts.append(f'<text x="0" y="{HEAD_HEIGHT + ROW_HEIGHT * row + 12}">{peer.name}</text>')
    for place, cell in enumerate(cells):
        x = NAMES_WIDTH + PANEL_WIDTH * place
        what = 'p50, p99 and p99.9 in ns, logarithmic' if latency else unit
        better = 'more' if more else 'less'
        parts.append(f'<text class="soft" x="{x}" y="12">{panel_title(cell)}: {what}; {better} is better</text>')
        for row, peer in enumerate(peers):
            y = HEAD_HEIGHT + ROW_HEIGHT * row
            parts.append((dots if latency else bar)(results, cell, peer, x, y, most))
    parts.append('</svg></figure>')
    return '\n'.join(parts)


def charts(results):
    """One for the cells that differ only in threads; memory: in size."""
    groups = {}
    for cell in results.measured():
        if cell.work == 'growth':
            continue
        title = f'{cell.bench}: {WORKS[cell.work]}'
        title += '' if cell.work == 'memory' else f'; {size_text(cell.size)} entries'
        groups.setdefault(title, []).append(cell)
    return [chart(results, title, cells) for title, cells in groups.items()]


TAIL_FIGURES = ('p50-ns', 'p99-ns', 'p99.9-ns', 'p99.99-ns', 'longest-ns', 'beyond-100us')
TAIL_TEXT = (
    'Every put is timed by itself while the map grows from nothing. A curve says how many puts take longer than what '
    'stands below it: where it crosses the line of 1 in 100 is p99, and its end is the longest put of all. Further to '
    'the left is better; no put is wanted beyond the line at 100 µs.',
    'clock-only is no map: as many threads read the clock as often, for as long as Soma took. What is long there is the '
    'machine\'s doing, and in every curve. With one thread on several cores, helpers of a map have a core of their own. '
    'Maps marked fixed-size are made for all entries beforehand: they do not grow, and take part as they are.',
)


def tails(results):
    """The puts of growing maps: curves and percentiles."""
    cells = [cell for cell in results.measured() if cell.work == 'growth']
    text, table = [], []
    for cell in cells:
        lines = []
        for peer in results.peers + [Peer(CLOCK, ['no-map'], '')]:
            if not results.samples(cell, peer.name):
                continue
            figures = [results.median(cell, peer.name, figure) for figure in TAIL_FIGURES]
            table.append([cell.name, marked(results, peer.name)] + [figure_text(value) for value in figures])
            kind = 'clock' if peer.name == CLOCK else tell_class(peer)
            lines.append(tail.Line(marked(results, peer.name), kind, results.curve(cell, peer.name),
                                   results.median(cell, peer.name, 'longest-ns')))
        text.append(tail.plot(f'{cell.name}: one put, threads: {cell.threads}', cell.size, lines))
    if not cells:
        return []
    heads = ['cell', 'map', 'p50 ns', 'p99 ns', 'p99.9 ns', 'p99.99 ns', 'longest ns', 'puts beyond 100 µs']
    return (['<h2>The longest puts of growing maps</h2>'] + [f'<p>{html.escape(line)}</p>' for line in TAIL_TEXT]
            + text + [html_table(heads, table)])


def html_table(heads, table, wrap=()):
    """`wrap`: columns of longer text."""
    def entry(column, text):
        kind = 'good' if text.startswith('won') else 'bad' if text.startswith('lost') else ''
        kind = 't' if column in wrap else kind
        return f'<td class="{kind}">{html.escape(text)}</td>' if kind else f'<td>{html.escape(text)}</td>'
    lines = ['<div class="wide"><table>', '<tr>' + ''.join(f'<th>{html.escape(head)}</th>' for head in heads) + '</tr>']
    lines += ['<tr>' + ''.join(entry(column, text) for column, text in enumerate(row)) + '</tr>' for row in table]
    return '\n'.join(lines + ['</table></div>'])


def all_figures(results):
    """What the CSV has but the points of curves, to be read."""
    return [[name, peer, figure, figure_text(statistics.median(samples)), figure_text(min(samples)),
             figure_text(max(samples)), str(len(samples))] for (name, peer, figure), samples in results.figures.items()
            if not figure.startswith(CURVE)]


def machine(results):
    """Where and when."""
    model = 'unknown'
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30
    return [['begun', time.strftime('%Y-%m-%d %H:%M UTC', results.began)], ['Soma', f'build {results.label}'],
            ['processor', f'{model}, {os.cpu_count()} online'], ['memory', f'{memory:.1f} GiB'],
            ['kernel', platform.release()], ['load when written', '%.2f %.2f %.2f' % os.getloadavg()],
            ['MALLOC_CONF', os.environ.get('MALLOC_CONF', 'not set')]]


INTRO = (
    'Every figure is the median of rounds in which the maps took turns, each measurement in a process of its own. The '
    'ratio says how many times better Soma is: above 1 won, below 1 lost, whatever the unit. "May be chance": each '
    'median lies within the other\'s rounds.',
    'The same guarantees are: lookups take no lock (else reads-lock), updates take no lock (writes-lock), any number of '
    'writers (one-writer), and the map grows by '
    'itself. Maps that lack one of them may be faster for it; they are compared in "best of all", with what they lack '
    'behind their names (fixed-size maps get their size beforehand, also in load). soma-batch makes the '
    'same lookups through get_many, 64 keys a call; no other map has such a call, so it decides nothing.',
    'What is in everybody\'s figures: drawing keys, making the texts of string keys, checking values. Latencies contain '
    'reading the clock. With more threads than cores, they contain waiting for a core.',
    'linear is no map: an array that is half full, filled once and only read, the least that a lookup can cost, one by '
    'one and, as linear-batch, 64 at a time. It decides nothing.',
    'Colours: Soma, maps with the same guarantees, maps that lack one and limits.',
)


def write_html(path, results):
    """One file, no other needed."""
    text = ['<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width,initial-scale=1"><title>Soma and its peers</title>'
            f'<style>{STYLE}{tail.STYLE}</style></head><body><h1>Soma and its peers</h1>']
    text += [f'<p><strong>{html.escape(line)}</strong></p>' for line in summary(results)]
    text += [f'<p>{html.escape(line)}</p>' for line in INTRO]
    text += [f'<p>{asked_text(asked)}</p>' for asked in sorted(set(results.asked.values()))]
    text += ['<h2>Won and lost</h2>', html_table(HEADS, rows(results))]
    if limit_rows(results):
        text += [f'<h2>{LIMIT_TITLE}</h2>', html_table(LIMIT_HEADS, limit_rows(results))]
    if results.failures:
        text += ['<h2>Failed</h2>', html_table(['what'], [[line] for line in results.failures.values()], (0,))]
    facts = [[peer.name, peer.about, peer.lacks_text()] for peer in results.peers]
    text += ['<h2>The maps</h2>', html_table(['map', 'what it is', 'what it lacks'], facts, (1, 2))]
    if charts(results):
        text += ['<h2>Charts</h2>', *charts(results)]
    text += tails(results)
    text += ['<h2>All figures</h2><details><summary>show</summary>',
             html_table(['cell', 'map', 'figure', 'median', 'least', 'greatest', 'rounds'], all_figures(results)),
             '</details>', f'<h2>{"Put together" if results.merged else "Measured"} on</h2>', html_table(['what', 'which'], machine(results)), '</body></html>']
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(text) + '\n')
