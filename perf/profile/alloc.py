# SPDX-License-Identifier: ISC
"""What takes memory: jemalloc's own heap profiling, or a sampling malloc of ours in front of any other."""
import math
import os
import re
import shutil
import subprocess

from job import BUILD, Skipped, run_program, say
from profile import Column, Profile
from symbols import Mappings, Symbols, name_stacks

COUNTS = re.compile(r'\s*t\*: (\d+): (\d+) \[(\d+): (\d+)\]')
SAMPLE_LOG2 = 16  # about one sample in 64 KiB
COLUMNS = [Column('alloc_objects', 'count'), Column('alloc_space', 'bytes'),
           Column('inuse_objects', 'count'), Column('inuse_space', 'bytes')]


def uses_jemalloc(command):
    """Whether the program is linked with jemalloc (a shared one; into it: its symbols)."""
    path = shutil.which(command[0])
    if not path:
        return False
    linked = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout
    if 'libjemalloc' in linked:
        return True
    return b'prof_leak_final' in open(path, 'rb').read()


def jemalloc_profiles(command):
    """Whether the jemalloc that the program uses has profiling compiled in: one that has not, says so."""
    linked = subprocess.run(['ldd', shutil.which(command[0])], capture_output=True, text=True, check=False).stdout
    match = re.search(r'(/\S*libjemalloc\S*)', linked)
    if not match:
        return True  # linked into the program; a heap dump that does not come tells
    said = subprocess.run(['true'], env=dict(os.environ, LD_PRELOAD=match[1], MALLOC_CONF='prof:true'),
                          capture_output=True, text=True, check=False).stderr
    return 'prof:true' not in said


def by_jemalloc(job):
    prefix = job.scratch / 'heap'
    given = os.environ.get('MALLOC_CONF')
    conf = f'prof:true,prof_active:true,prof_accum:true,prof_final:true,lg_prof_sample:{SAMPLE_LOG2},prof_prefix:{prefix}'
    run_program(job.command, job.settings, {'MALLOC_CONF': f'{given},{conf}' if given else conf})
    return sorted(job.scratch.glob('heap.*.heap'))


def by_sampling(job):
    library = BUILD / 'perf' / 'profile' / 'libsample_malloc.so'
    if not library.exists():
        raise Skipped('the sampling malloc could not be built, and the program has no jemalloc with profiling')
    prefix = job.scratch / 'malloc'
    run_program(job.command, job.settings, {'LD_PRELOAD': preload(library), 'SOMA_SAMPLE_MALLOC': str(prefix),
                                            'SOMA_SAMPLE_MALLOC_PERIOD': str(1 << SAMPLE_LOG2)})
    return sorted(job.scratch.glob('malloc.*.stacks'))


def preload(library):
    given = os.environ.get('LD_PRELOAD')
    return f'{library} {given}' if given else str(library)


def scale(count, total_bytes, period):
    """What was there if this much was sampled: an allocation of s bytes is sampled with probability 1 - exp(-s/period)."""
    if count == 0 or total_bytes == 0:
        return 0, 0
    factor = 1 / -math.expm1(-total_bytes / count / period)
    return count * factor, total_bytes * factor


def read_dump(text):
    """(period, [(addresses, counts)], text of the mappings) from a heap dump."""
    period = int(re.match(r'heap_v2/(\d+)', text)[1])
    body, _, maps = text.partition('MAPPED_LIBRARIES:')
    stacks = []
    for line in body.splitlines():
        match = COUNTS.match(line)
        if line.startswith('@'):
            stacks.append(([int(word, 16) for word in line.split()[1:]], None))
        elif match and stacks and stacks[-1][1] is None:
            stacks[-1] = (stacks[-1][0], [int(match[i]) for i in (1, 2, 3, 4)])
    lost = re.search(r'^LOST (\d+)', body, re.M)
    return period, stacks, maps, int(lost[1]) if lost else 0


def without_allocator(frames):
    """Ends at the call of malloc: what the allocator does inside is no business of the program's."""
    for i, name in enumerate(frames):
        if name in ('malloc', 'calloc', 'realloc', 'posix_memalign', 'aligned_alloc', 'operator new(unsigned long)'):
            return frames[:i + 1]
    while len(frames) > 1 and (frames[-1].startswith('[libjemalloc') or frames[-1].startswith('prof_')):
        frames = frames[:-1]
    return frames


def is_empty(dump):
    """Whether nothing was sampled: a jemalloc that is linked but stands behind libc's malloc has nothing to do."""
    totals = COUNTS.search(dump.read_text(errors='replace'))
    return not totals or totals[3] == '0'


def dumps_of(job):
    """(the heap dumps of a run, how they were made)."""
    how = job.settings.alloc_with
    if how != 'malloc' and uses_jemalloc(job.command) and jemalloc_profiles(job.command):
        dumps = by_jemalloc(job)
        if how == 'jemalloc' or not all(map(is_empty, dumps)):
            return dumps, 'by jemalloc\'s heap profiling'
        say('alloc: the program\'s jemalloc has allocated nothing; once more with a sampling malloc')
    elif how == 'jemalloc':
        raise Skipped('the program does not use a jemalloc that has profiling compiled in')
    return by_sampling(job), 'by a sampling malloc in front of the program\'s own'


def collect(job):
    dumps, made = dumps_of(job)
    if not dumps:
        raise Skipped('the program left no heap dump: it did not end by exit(), or preloading is not possible')
    profile = Profile('alloc', 'Allocations', COLUMNS, shown=1, period=(Column('space', 'bytes'), 1 << SAMPLE_LOG2))
    symbols = Symbols()
    for dump in dumps:
        period, stacks, maps, lost = read_dump(dump.read_text(errors='replace'))
        for frames, (live, live_bytes, all_count, all_bytes) in name_stacks(stacks, Mappings(maps), symbols):
            profile.add(without_allocator(frames), scale(all_count, all_bytes, period) + scale(live, live_bytes, period))
        if lost:
            profile.notes.append(f'{lost} samples had no room and are missing')
    profile.notes.append(f'one sample in about {1 << (SAMPLE_LOG2 - 10)} KiB, scaled, {made}; memory from mmap is not in it')
    return profile
