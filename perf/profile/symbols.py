# SPDX-License-Identifier: ISC
"""From addresses to names of functions, those inlined there included."""
import bisect
import functools
import os
import pathlib
import re
import subprocess

MAPPING = re.compile(r'([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ +(/.*)')


class Mappings:
    """Where a process had its files, from the text of /proc/PID/maps."""

    def __init__(self, text):
        found = []
        for line in text.splitlines():
            match = MAPPING.match(line)
            if match and 'x' in match[3]:
                found.append((int(match[1], 16), int(match[2], 16), int(match[4], 16), match[5]))
        self.found = sorted(found)
        self.starts = [start for start, *_ in self.found]

    def locate(self, address):
        """(path, address in the file as its symbols have it), or None."""
        i = bisect.bisect_right(self.starts, address) - 1
        if i < 0 or address >= self.found[i][1]:
            return None
        start, _, offset, path = self.found[i]
        return path, load_address(path, address - start + offset)


@functools.lru_cache(maxsize=None)
def load_segments(path):
    """[(offset in the file, address, size)] of what is loaded from an ELF file; [] if it cannot be read."""
    try:
        text = subprocess.run(['readelf', '-lW', path], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    words = (line.split() for line in text.splitlines())
    return [(int(w[1], 16), int(w[2], 16), int(w[5], 16)) for w in words if len(w) > 6 and w[0] == 'LOAD']


def load_address(path, offset):
    for start, address, size in load_segments(path):
        if start <= offset < start + size:
            return offset - start + address
    return offset


def in_file(path, address):
    return any(start <= address < start + size for _, start, size in load_segments(path))


@functools.lru_cache(maxsize=None)
def function_symbols(path):
    """Sorted [(address, size, name)] of a file's functions."""
    found = []
    for option in ([], ['-D']):
        text = subprocess.run(['nm', '-SC', '--defined-only', *option, path], capture_output=True, text=True,
                              check=False).stdout
        for line in text.splitlines():
            words = line.split(None, 3)
            if len(words) == 4 and words[2] in 'tTwWiu':
                found.append((int(words[0], 16), int(words[1], 16), words[3].split('@')[0]))
    return sorted(found)


def by_symbol(path, address):
    symbols = function_symbols(path)
    i = bisect.bisect_right(symbols, (address, float('inf'), '')) - 1
    if i >= 0 and address < symbols[i][0] + symbols[i][1]:
        return symbols[i][2]
    return f'[{os.path.basename(path)}]'


def has_lines(path):
    """Whether a file has debug information, or the system has it beside (libc6-dbg, say). Without, addr2line answers with
    any symbol that stands before."""
    said = subprocess.run(['readelf', '-SnW', path], capture_output=True, text=True, check=False).stdout
    build = re.search(r'Build ID: ([0-9a-f]{2})([0-9a-f]+)', said)
    beside = build and pathlib.Path(f'/usr/lib/debug/.build-id/{build[1]}/{build[2]}.debug').exists()
    return ' .debug_info ' in said or bool(beside)


def inlined_names(path, addresses):
    """{address: names of the functions there, innermost first}."""
    said = subprocess.run(['addr2line', '-e', path, '-afiC'], input='\n'.join(map(hex, addresses)),
                          capture_output=True, text=True, check=False).stdout
    found, names = {}, []
    lines = iter(said.splitlines())
    for line in lines:
        if line.startswith('0x'):
            names = found[int(line, 16)] = []
        else:
            if line != '??':
                names.append(line)
            next(lines, None)  # file and line
    return found


class Symbols:
    """Names for (path, address) pairs. Ask for all with want(), then look them up: one addr2line a file."""

    def __init__(self):
        self.wanted = {}
        self.names = {}

    def want(self, path, address):
        if (path, address) not in self.names:
            self.wanted.setdefault(path, set()).add(address)

    def resolve(self):
        for path, addresses in self.wanted.items():
            self._resolve_file(path, sorted(addresses))
        self.wanted = {}

    def _resolve_file(self, path, addresses):
        found = inlined_names(path, addresses) if has_lines(path) else {}
        for address in addresses:
            self.names[path, address] = found.get(address) or [by_symbol(path, address)]

    def look_up(self, path, address):
        """The functions at an address, innermost first: more than one if some are inlined there."""
        return self.names[path, address]


def name_stacks(stacks, mappings, symbols):
    """Names raw stacks: yields (frames, outermost first; what came with the stack). `stacks` is a list of (addresses,
    innermost first, what came with them). All but the innermost are where calls return to, one byte behind the call."""
    placed = []
    for addresses, data in stacks:
        places = [mappings.locate(address - (i > 0)) for i, address in enumerate(addresses)]
        for place in filter(None, places):
            symbols.want(*place)
        placed.append((places, data))
    symbols.resolve()
    for places, data in placed:
        names = []
        for place in places:
            names += symbols.look_up(*place) if place else ['[unknown]']
        yield names[::-1], data
