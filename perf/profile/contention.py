# SPDX-License-Identifier: ISC
"""Where threads meet: Soma's USDT probes (lib/base/probe.h), counted by call stack. By uprobes and perf where that is
permitted, else by breakpoints inside the program itself, which need no privilege."""
import os
import pathlib
import re
import shutil
import subprocess

import cpu
from alloc import preload
from job import BUILD, Skipped, run_program, say, tool
from profile import Column, Profile
from symbols import Mappings, Symbols, load_segments, name_stacks

TRACEFS = [pathlib.Path('/sys/kernel/tracing'), pathlib.Path('/sys/kernel/debug/tracing')]
BUFFERS_MIB = 128   # of all CPUs together: stacks come in bursts while a map grows
STACK_BYTES = 4096  # copied at each event, to be unwound by DWARF
NOTE = re.compile(r'Provider: (\S+)\s+Name: (\S+)\s+Location: (0x[0-9a-f]+), Base: (0x[0-9a-f]+), Semaphore: (0x[0-9a-f]+)')

# Where threads meet. The others (docs/probes.md) tell of every call.
MEETINGS = ['cas_failed', 'update_retry', 'help_link', 'help_unlink', 'help_bucket', 'help_grow', 'grow_begin', 'grow_end',
            'shrink_begin', 'shrink_end', 'stall', 'at_limit']


# ---- Finding the probes ----

def files_of(command):
    """The program and the libraries that it is linked with."""
    path = shutil.which(command[0])
    if not path:
        return []
    linked = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout
    return [os.path.realpath(path)] + [os.path.realpath(found) for found in re.findall(r'(/\S+) \(0x', linked)]


def probes_of(path):
    """{(name, offset in the file, offset of its semaphore)} of Soma's probes in a file that tell of meetings."""
    text = subprocess.run(['readelf', '-nW', path], capture_output=True, text=True, check=False).stdout
    sections = subprocess.run(['readelf', '-SW', path], capture_output=True, text=True, check=False).stdout
    base = re.search(r' \.stapsdt\.base +\S+ +([0-9a-f]+)', sections)
    found = set()
    data = re.search(r' \.probes +\S+ +([0-9a-f]+) +([0-9a-f]+)', sections)
    for provider, name, location, noted_base, semaphore in NOTE.findall(text):
        if provider != 'soma' or name not in MEETINGS:
            continue
        moved = int(base[1], 16) - int(noted_base, 16) if base else 0
        address = int(location, 16) + moved
        counter = int(semaphore, 16) - int(data[1], 16) + int(data[2], 16) if data else 0
        for start, at, size in load_segments(path):
            if at <= address < at + size:
                found.add((name, address - at + start, counter))
    return found


# ---- By uprobes and perf ----

class Uprobes:
    """Kernel probes of our own on all of Soma's probes, while the block runs: an event for each name."""

    def __init__(self, files):
        self.group = f'soma_{os.getpid()}'
        self.mark = f'__{os.getpid()}'  # ends the names of our events: the kernel's counts do not say the group
        self.files = files
        self.names = set()
        writable = [path for path in TRACEFS if os.access(path / 'uprobe_events', os.W_OK)]
        if not writable:
            raise Skipped('uprobes are not permitted (no tracefs with an uprobe_events to write to)')
        self.events = writable[0] / 'uprobe_events'

    def _write(self, text):
        file = os.open(self.events, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)

    def __enter__(self):
        try:
            for path in self.files:
                for name, offset, counter in sorted(probes_of(path)):
                    self._write(f'p:{self.group}/{name}{self.mark} {path}:{offset:#x}({counter:#x})\n')
                    self.names.add(name)
        except OSError as error:
            self.__exit__()
            raise Skipped(f'uprobes are not permitted ({error.strerror})') from None
        return self

    def hits(self):
        """{name: how often it was hit}: the kernel counts all, also those that it has no room to record."""
        sums = dict.fromkeys(self.names, 0)
        for line in self.events.with_name('uprobe_profile').read_text().splitlines():
            name, hits = line.split()[-2:]
            if name.endswith(self.mark):
                sums[name.removesuffix(self.mark)] += int(hits)
        return sums

    def __exit__(self, *_):
        for name in self.names:
            try:
                self._write(f'-:{self.group}/{name}{self.mark}\n')
            except OSError as error:
                say(f'cannot remove the uprobe {self.group}/{name}: {error.strerror}')


def buffer():
    """The size of a CPU's buffer, a power of two."""
    mib = max(1, BUFFERS_MIB // (os.cpu_count() or 1))
    return f'{1 << (mib.bit_length() - 1)}M'


def by_perf(job, files):
    perf = tool('perf', 'linux-perf')
    data = job.scratch / 'contention.data'
    with Uprobes(files) as uprobes:
        event = f'{uprobes.group}:*'
        result = subprocess.run([perf, 'record', '-q', '-o', '/dev/null', '-e', event, 'true'], capture_output=True,
                                text=True, check=False)
        if result.returncode != 0:
            raise Skipped('perf may not record uprobes here')
        cpu.record(job, perf, data, ['-e', event], ['-c', '1', '-m', buffer()], STACK_BYTES)
        lost = uprobes.hits()
        samples = cpu.read_samples(perf, data, job.settings.unwind)
    counted = []
    for event, frames in cpu.name_samples(samples):
        name = event.rpartition(':')[2].strip().removesuffix(uprobes.mark)
        counted.append((frames, name, 1))
        lost[name] -= 1
    return counted + [(['[stack lost]'], name, count) for name, count in lost.items() if count > 0]


# ---- By breakpoints in the program ----

def by_breakpoints(job):
    library = BUILD / 'perf' / 'profile' / 'libcount_probes.so'
    if not library.exists():
        raise Skipped('the counting library could not be built (it is for x86-64)')
    prefix = job.scratch / 'probes'
    run_program(job.command, job.settings, {'LD_PRELOAD': preload(library), 'SOMA_COUNT_PROBES': str(prefix),
                                             'SOMA_COUNT_ONLY': ' '.join(MEETINGS) + ' '})
    reports = sorted(job.scratch.glob('probes.*.stacks'))
    if not reports:
        raise Skipped('the program left no counts: it did not end by exit(), or preloading is not possible')
    counted = []
    symbols = Symbols()
    for report in reports:
        body, _, maps = report.read_text(errors='replace').partition('MAPPED_LIBRARIES:')
        stacks = []
        for line in body.splitlines():
            words = line.split()
            if line.startswith('@'):
                stacks.append(([int(word, 16) for word in words[1:]], None))
            elif line.startswith('  ') and stacks:
                stacks[-1] = (stacks[-1][0], (words[0], int(words[1])))
        counted += [(frames, name, count) for frames, (name, count) in name_stacks(stacks, Mappings(maps), symbols)]
    return counted


def collect(job):
    files = files_of(job.command)
    if not any(probes_of(path) for path in files):
        raise Skipped('neither the program nor a library of its has Soma\'s probes (build Soma with -Dusdt=enabled)')
    how = job.settings.contention_with
    note = 'by uprobes and perf'
    try:
        if how == 'process':
            raise Skipped('not asked for')
        counted = by_perf(job, files)
    except Skipped as reason:
        if how == 'perf':
            raise
        if how == 'auto':
            say(f'contention: {reason}; counting inside the program instead')
        counted = by_breakpoints(job)
        note = 'by breakpoints inside the program'
    profile = Profile('contention', 'Contention', [Column('events', 'count')])
    for frames, name, count in counted:
        profile.add([name] + list(frames), [count])
    profile.notes.append(f'every event counted, {note}; at the bottom: the probe (lib/base/probe.h)')
    return profile
