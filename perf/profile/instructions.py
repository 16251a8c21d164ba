# SPDX-License-Identifier: ISC
"""Which instructions run: callgrind, an exact count under simulation, threads one after the other."""
import os
import re

from job import Skipped, run_program, tool
from profile import Column, Profile

CALLERS = 48  # how many callers tell two stacks apart
PARTS = re.compile(r"'(?!lambda)")


def frames_of(name, objects):
    """Outermost first, from callgrind's name of a function in context: function'caller'caller's caller. Functions
    without a name, which callgrind calls by their address, get that of their file."""
    parts = (part for part in PARTS.split(name) if part and not part.isdigit())
    return [objects.get(part, '[unknown]') if part.startswith('0x') else part for part in parts][::-1]


def read_costs(lines):
    """([(function in context, its own cost)], {function without a name: its file}, the total that callgrind states)."""
    costs, objects = [], {}
    name, in_object, inclusive, total = '', '', False, 0
    for line in lines:
        if line.startswith('ob='):
            in_object = f'[{os.path.basename(line[3:].strip())}]'
        elif line.startswith('fn='):
            name = line[3:].strip()
            own = PARTS.split(name)[0]
            if own.startswith('0x'):
                known = objects.setdefault(own, in_object)
                objects[own] = known if known == in_object else '[unknown]'
        elif line.startswith('calls='):
            inclusive = True  # the line after it is the callee's cost, counted where it belongs
        elif line[:1].isdigit():
            if not inclusive:
                costs.append((name, int(line.split()[1])))
            inclusive = False
        elif line.startswith('totals:'):
            total = int(line.split()[1])
    return costs, objects, total


def collect(job):
    valgrind = tool('valgrind', 'valgrind')
    out = job.scratch / 'callgrind.out'
    run_program([valgrind, '-q', '--tool=callgrind', f'--callgrind-out-file={out}.%p', '--compress-strings=no',
                 '--compress-pos=no', f'--separate-callers={CALLERS}', '--'] + job.counted_command, job.settings)
    outs = sorted(job.scratch.glob('callgrind.out.*'))
    if not outs:
        raise Skipped('callgrind left no file')
    profile = Profile('instructions', 'Instructions', [Column('instructions', 'count')])
    profile.about = job.counted_about
    stated = 0
    for path in outs:
        with open(path, encoding='utf-8', errors='replace') as lines:
            costs, objects, total = read_costs(lines)
        for name, cost in costs:
            profile.add(frames_of(name, objects), [cost])
        stated += total
    if stated != profile.total():
        raise Skipped(f'the stacks sum up to {profile.total()} instructions, but callgrind states {stated}')
    profile.notes.append('exact, by callgrind; inlined functions are part of their callers')
    return profile
