# SPDX-License-Identifier: ISC
"""The bench of peers: which cells there are, and measuring them. perf/peers/run is the command and has the help."""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = 'perf/peers/run'

SIZES = (10_000, 1_000_000, 10_000_000)
THREADS = (1, 2, 8, 32)
DRAWS = ('uniform', 'zipf')
GROWTH_SIZES = (1_000_000, 10_000_000)
GROWTH_THREADS = (1, 2)
MIXES = ('get-hit', 'get-half', 'mix95', 'upsert90', 'mix50')
PEERS = ('soma', 'soma-spacious', 'soma-batch', 'lfht-memb-grow', 'lfht-memb', 'lfht-grow', 'lfht', 'cds-split', 'cds-michael', 'ck',
         'tbb', 'cuckoo', 'stripes', 'std', 'glib', 'mutex', 'rwlock')
# No maps: they answer lookups of words, and decide nothing.
LIMITS = ('linear', 'linear-batch')
CANARIES = ('canary-value', 'canary-keep', 'canary-race')
LIMIT_CANARIES = ('canary-limit',)
# A batch has no single put that could be timed.
BATCHED = ('soma-batch',)
QUICK = re.compile(r'^(word/(get-hit|mix95|mix50)/uniform/10k/2t|word/load/10k/2t|(word|string)/memory/10k'
                   r'|string/get-hit/uniform/10k/2t|word/latency/10k/2t|word/growth/1M/1t|word/scan/10k/1t)$')
# No measurement takes this long; one that does hangs.
SECONDS_MOST = 300
# What setting up costs, about: seconds an entry and a process. Only the estimate of the time left uses them.
FILL_SECONDS = {'word': 0.4e-6, 'string': 0.7e-6}
PROCESS_SECONDS = 0.05


class Cell:
    """One question."""

    def __init__(self, kind, work, draw, size, threads):
        self.kind, self.work, self.draw, self.size, self.threads = kind, work, draw, size, threads
        parts = [kind, work]
        if work in MIXES:
            parts.append(draw)
        self.bench = '/'.join(parts)
        parts.append(report.size_text(size))
        if work != 'memory':
            parts.append(f'{threads}t')
        self.name = '/'.join(parts)

    def seconds(self, peers, options):
        """What it will take, about."""
        one = PROCESS_SECONDS + self.size * FILL_SECONDS[self.kind]
        one += 0 if self.work in ('load', 'growth', 'memory') else options.seconds
        one *= len(peers)
        return min(one * options.rounds, max(one, options.budget + one / 2))


def all_cells():
    """In the order in which they are measured."""
    cells = []
    for kind in ('word', 'string'):
        for size in SIZES:
            for work in MIXES:
                cells += [Cell(kind, work, draw, size, threads) for draw in DRAWS for threads in THREADS]
            for work in ('latency', 'load'):
                cells += [Cell(kind, work, 'uniform', size, threads) for threads in THREADS]
            if size in GROWTH_SIZES:
                cells += [Cell(kind, 'growth', 'uniform', size, threads) for threads in GROWTH_THREADS]
            cells += [Cell(kind, work, 'uniform', size, 1) for work in ('scan', 'memory')]
    return cells


# ---- Command line ----

def stop(status, text):
    """One line, and the end."""
    print(f'{PROGRAM}: {text}', file=sys.stderr)
    sys.exit(status)


class Parser(argparse.ArgumentParser):
    """Complaints in one line."""

    def error(self, message):
        stop(2, f'{message} (see --help)')


def number(least, most, kind):
    """A checker of numbers for argparse."""
    def check(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"wants a number from {least:g} to {most:g}, not '{text}'")
        return value
    return check


def pattern(text):
    """A regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from error


def peer_list(text):
    """Names with commas between them; in the usual order, so that reports look alike."""
    names = text.split(',')
    for name in names:
        if name not in PEERS + LIMITS:
            raise argparse.ArgumentTypeError(f"no map is called '{name}'; there are {', '.join(PEERS + LIMITS)}")
    return [peer for peer in PEERS + LIMITS if peer in names]


def label(text):
    """A name that can stand in a CSV file."""
    if ',' in text or '"' in text:
        raise argparse.ArgumentTypeError(f"wants a text without commas and quotes, not '{text}'")
    return text


def read_options():
    """What the command line asks for."""
    parser = Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--cells', type=pattern)
    parser.add_argument('--peers', type=peer_list, default=None)
    parser.add_argument('--rounds', type=number(1, 1000, int))
    parser.add_argument('--seconds', type=number(0.01, 60, float))
    parser.add_argument('--budget', type=number(0, 86400, float))
    parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'perf' / 'out')
    parser.add_argument('--csv', type=pathlib.Path)
    parser.add_argument('--html', type=pathlib.Path)
    parser.add_argument('--markdown', type=pathlib.Path)
    parser.add_argument('--label', type=label)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--merge', type=pathlib.Path, nargs='+')
    parser.add_argument('--list', action='store_true')
    options = parser.parse_args()
    if options.merge:
        for name in ('quick', 'cells', 'peers', 'rounds', 'seconds', 'budget', 'resume', 'list'):
            if getattr(options, name) is not None and getattr(options, name) is not False:
                stop(2, f'--merge measures nothing, so it takes no --{name} (see --help)')
    options.peers = options.peers or list(PEERS + LIMITS)
    options.budget = 60.0 if options.budget is None else options.budget
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (0.2 if options.quick else 0.5)
    options.csv = options.csv or options.out / 'peers.csv'
    options.html = options.html or options.out / 'peers.html'
    options.chosen = [cell for cell in all_cells()
                      if (options.cells or (QUICK if options.quick else re.compile(''))).search(cell.name)]
    if not options.chosen:
        stop(2, f"no cell's name has '{options.cells.pattern}' in it (see --list)")
    return options


def outputs(options):
    """The files that are written."""
    return [path for path in (options.csv, options.html, options.markdown) if path]


def must_be_writable(path):
    """Hours of measuring must not end at a directory that cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'a', encoding='utf-8'):
            pass
    except OSError as error:
        stop(2, f'cannot write {path}: {error.strerror}')


# ---- Building ----

def build():
    """Where the programs are, and what the build is called."""
    done = subprocess.run([ROOT / 'perf/peers/build'], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(1)  # it has said why
    directory, name = done.stdout.splitlines()
    return pathlib.Path(directory), name


def facts(directory):
    """Of every map: what it lacks, and what it is."""
    text = subprocess.run([directory / 'measure-words', 'list'], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        name, lacks, about = line.split('\t')
        found[name] = report.Peer(name, lacks.split(), about)
    if tuple(found) != PEERS + LIMITS:
        stop(1, 'the list of maps in matrix.py is not that of the program')
    return found


def clock(seconds):
    """As in 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


class Progress:
    """How far we are, on standard error: one line that changes on a terminal, a line a cell elsewhere."""

    def __init__(self, options, known):
        self.weights = [cell.seconds(asked(cell, options.peers, known), options) for cell in options.chosen]
        self.began = time.monotonic()
        self.done = 0
        self.terminal = sys.stderr.isatty()

    def left(self, part):
        """Seconds, from how long the measured part took against what was thought; `part` of this cell is done."""
        thought = sum(self.weights[:self.done]) + part * self.weights[self.done]
        rest = sum(self.weights) - thought
        pace = (time.monotonic() - self.began) / thought if thought > 5 else 1
        return rest * pace

    def tell(self, text, part, first):
        """What is done now."""
        line = f'[{self.done + 1}/{len(self.weights)}] {text}, {clock(self.left(part))} left'
        if self.terminal:
            print(f'\r\033[K{line}', end='', file=sys.stderr, flush=True)
        elif first:
            print(line, file=sys.stderr, flush=True)

    def end(self):
        """Clears the line."""
        if self.terminal:
            print('\r\033[K', end='', file=sys.stderr, flush=True)


# ---- Measuring ----

def check(directory, options):
    """Every map answers rightly, and the maps that are wrong on purpose are found out."""
    for kind in sorted({cell.kind for cell in options.chosen}):
        program = f'measure-{kind}s'
        canaries = CANARIES + LIMIT_CANARIES if kind == 'word' else CANARIES
        for name in [peer for peer in options.peers if kind == 'word' or peer not in LIMITS] + list(canaries):
            done = subprocess.run([directory / program, 'check', name], stderr=subprocess.PIPE, text=True, check=False,
                                  timeout=SECONDS_MOST)
            if name in canaries and done.returncode != 1:
                stop(1, f'{program}: the check did not notice that {name} is wrong')
            if name not in canaries and done.returncode != 0:
                stop(1, f'{program}: {done.stderr.strip()}')


def measure(directory, cell, peer, options):
    """The figures of one map in one cell, by name; or a text that says what went wrong."""
    return figures_of(peer, [directory / f'measure-{cell.kind}s', 'run', peer, cell.work, cell.draw, str(cell.size),
                             str(cell.threads), str(options.seconds)])


def figures_of(peer, command):
    """What the program prints."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=SECONDS_MOST)
    except subprocess.TimeoutExpired:
        return f'{peer}: took more than {SECONDS_MOST} seconds'
    if done.returncode != 0:
        return done.stderr.strip() or f'{peer}: ended with status {done.returncode}'
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def asked(cell, peers, known):
    """The maps that have an answer to the cell's question."""
    return [peer for peer in peers if (cell.work != 'scan' or 'no-scan' not in known[peer].lacks)
            and (cell.work != 'growth' or peer not in BATCHED)
            and (peer not in LIMITS or (cell.kind == 'word' and cell.work in report.LIMITED))]


def measure_cell(directory, cell, known, options, results, progress):
    """Rounds in which all take turns; whose turn is first goes round."""
    began = time.monotonic()
    peers = asked(cell, options.peers, known)
    for turn in range(options.rounds):
        if turn > 0 and time.monotonic() - began > options.budget:
            break
        for place in range(len(peers)):
            peer = peers[(place + turn) % len(peers)]
            part = (turn + place / len(peers)) / options.rounds
            progress.tell(f'{cell.name}, round {turn + 1}: {peer}', part, turn + place == 0)
            if not results.failed(cell, peer):
                results.add(cell, peer, measure(directory, cell, peer, options))
        if cell.work == 'growth':
            measure_clock(directory, cell, peers, results)


def measure_clock(directory, cell, peers, results):
    """The clock alone, for as long as Soma took, or the first map that has a figure."""
    for peer in peers:
        seconds = results.samples(cell, peer, 'seconds')
        if seconds:
            command = [directory / f'measure-{cell.kind}s', 'clock', str(cell.size), str(cell.threads), str(seconds[-1])]
            results.add(cell, report.CLOCK, figures_of(report.CLOCK, command))
            return


def measure_all(directory, known, options, results):
    """Every cell; the figures so far are on disk after each."""
    progress = Progress(options, known)
    for cell in options.chosen:
        results.drop(cell)
        measure_cell(directory, cell, known, options, results, progress)
        results.asked[cell.name] = report.asked_of(options)
        results.write_csv(options.csv)
        progress.done += 1
    progress.end()


# ---- What earlier runs found ----

def rows_by_cell(path):
    """Of a file, the rows of each cell."""
    cells = {(cell.bench, cell.size, cell.threads): cell for cell in all_cells()}
    found = {}
    try:
        for row in report.read_csv(path):
            cell = cells[row['bench'], int(row['entries']), int(row['threads'])]
            report.samples_of(row)
            found.setdefault(cell.name, []).append(row)
    except report.Broken as error:
        stop(2, str(error))
    except (KeyError, ValueError):
        stop(2, f'{path} has a row that this program did not write')
    return found


def take_rows(results, found, known):
    """Into the results, with the cells and maps that these rows are about."""
    cells = {cell.name for cell in results.cells} | set(found)
    peers = {peer.name for peer in results.peers} | {row['map'] for rows in found.values() for row in rows}
    results.cells = [cell for cell in all_cells() if cell.name in cells]
    results.peers = [known[peer] for peer in PEERS + LIMITS if peer in peers]
    for cell in results.cells:
        if cell.name in found:
            results.take(cell, found[cell.name])


def resume(options, results, known):
    """What the output has already is kept, and its cells are not measured again."""
    if not options.csv.exists() or options.csv.stat().st_size == 0:
        return
    found = rows_by_cell(options.csv)
    for rows in found.values():
        if (rows[0]['build'], rows[0]['asked']) != (results.label, report.asked_of(options)):
            stop(2, f'cannot go on from {options.csv}: it is of build {rows[0]["build"]} and {rows[0]["asked"]} (rounds x '
                    f'seconds / budget), this would be {results.label} and {report.asked_of(options)}')
    take_rows(results, found, known)
    chosen = [cell for cell in options.chosen
              if not results.done(cell, asked(cell, options.peers, known), report.asked_of(options))]
    print(f'{PROGRAM}: {len(options.chosen) - len(chosen)} of {len(options.chosen)} cells are there already',
          file=sys.stderr)
    options.chosen = chosen


def merge(options, known):
    """One report of the figures of several runs; of a cell that several have, the last file's."""
    files = [rows_by_cell(path) for path in options.merge]
    builds = sorted({row['build'] for found in files for rows in found.values() for row in rows})
    if len(builds) != 1 and not options.label:
        stop(2, f'the files are of {len(builds)} builds: {", ".join(builds)}; --label makes them one' if builds else
             'the files have no figures')
    results = report.Results(options.label or builds[0], [], [])
    results.merged = True
    for found in files:
        take_rows(results, found, known)
    return results


def run(directory, known, options, results):
    """Checks and measures what is to be measured; the status."""
    if options.resume:
        resume(options, results, known)
    if not options.chosen:
        return 0
    print(f'{PROGRAM}: do all maps answer rightly?', file=sys.stderr)
    check(directory, options)
    try:
        measure_all(directory, known, options, results)
    except KeyboardInterrupt:
        print(f'\n{PROGRAM}: interrupted; --resume goes on with the cell that was not done', file=sys.stderr)
        results.drop_unfinished()
        return 1
    return 0


def main():
    """Checks, measures, reports."""
    options = read_options()
    if not options.list:
        for path in outputs(options):
            must_be_writable(path)
    directory, name = build()
    known = facts(directory)
    if options.list:
        report.print_list(options.chosen, [known[peer] for peer in options.peers],
                          clock(sum(cell.seconds(asked(cell, options.peers, known), options)
                                    for cell in options.chosen)))
        return 0
    status = 0
    if options.merge:
        results = merge(options, known)
    else:
        results = report.Results(options.label or name, options.chosen, [known[peer] for peer in options.peers])
        status = run(directory, known, options, results)
    results.write_csv(options.csv)
    report.write_html(options.html, results)
    if options.markdown:
        report.write_markdown(options.markdown, results)
    report.print_table(results)
    print(f'report: {options.html}\nfigures: {options.csv}')
    for text in results.failures.values():
        print(f'{PROGRAM}: {text}', file=sys.stderr)
    return 1 if results.failures else status


if __name__ == '__main__':
    os.environ.setdefault('LC_ALL', 'C')
    sys.exit(main())
