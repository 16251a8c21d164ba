# SPDX-License-Identifier: ISC
"""Where the time goes: perf record with the cpu-clock, which needs no performance counters."""
import re
import subprocess

from job import Skipped, run_program, tool, tool_output
from profile import Column, Profile
from symbols import Symbols, in_file

FRAME = re.compile(r'\s+([0-9a-f]+) (.*?)(\+0x[0-9a-f]+)? \((.*)\)$')
STACK_BYTES = 8192  # copied at each sample, to be unwound by DWARF


def paranoia():
    try:
        with open('/proc/sys/kernel/perf_event_paranoid', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return 'not readable'


def clock_event(perf, settings):
    """What may be recorded here: all of the time, or the user's part only. Skipped, with perf's reason, if nothing may."""
    events = ['cpu-clock:u'] if settings.user_only else ['cpu-clock', 'cpu-clock:u']
    for event in events:
        result = subprocess.run([perf, 'record', '-q', '-e', event, '-o', '/dev/null', 'true'],
                                capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return event
    said = ' '.join(line.strip() for line in result.stderr.splitlines() if line.strip())
    raise Skipped(f'perf may not record here (kernel.perf_event_paranoid is {paranoia()}): {said[:120]}')


def record(job, perf, data, events, rate, stack_bytes=STACK_BYTES):
    """Runs the program under perf record. The program's own failure is not perf's."""
    unwinding = ['--call-graph', f'dwarf,{stack_bytes}' if job.settings.unwind == 'dwarf' else 'fp']
    run_program([perf, 'record', '-q', '-o', str(data)] + events + unwinding + rate + ['--'] + job.command, job.settings)


def read_samples(perf, data, unwound):
    """[(event, [(address, name or '', path), ...] innermost first)] from perf's recording."""
    text = tool_output(perf, 'script', '-i', str(data), '--no-inline', '-F', 'event,ip,sym,symoff,dso')
    samples = []
    for line in text.splitlines():
        match = FRAME.match(line)
        if match and samples:
            address = int(match[1], 16)
            if unwound == 'fp' and samples[-1][1]:
                address -= 1  # a return address; unwound by DWARF it is already the call's
            samples[-1][1].append((address, match[2], match[4]))
        elif line.strip():
            samples.append((line.strip().rstrip(':'), []))
    return samples


def name_samples(samples):
    """Yields (event, frames with the outermost first)."""
    symbols = Symbols()
    for _, frames in samples:
        for address, _, path in frames:
            if in_file(path, address):
                symbols.want(path, address)
    symbols.resolve()
    for event, frames in samples:
        names = []
        for address, name, path in frames:
            if in_file(path, address):
                names += symbols.look_up(path, address)
            else:
                names.append(name if name and name != '[unknown]' else '[unknown]')
        yield event, names[::-1]


def collect(job):
    perf = tool('perf', 'linux-perf')
    event = clock_event(perf, job.settings)
    data = job.scratch / 'cpu.data'
    hertz = job.settings.frequency
    record(job, perf, data, ['-e', event], ['-F', str(hertz)])
    period_ns = 1_000_000_000 // hertz
    profile = Profile('cpu', 'CPU', [Column('samples', 'count'), Column('cpu', 'nanoseconds')],
                      period=(Column('cpu', 'nanoseconds'), period_ns))
    for _, frames in name_samples(read_samples(perf, data, job.settings.unwind)):
        profile.add(frames, [1, period_ns])
    if 'exclude_kernel: 1' in tool_output(perf, 'evlist', '-v', '-i', str(data)):  # perf may do so by itself
        profile.notes.append('without the time in the kernel')
    profile.notes.append(f'sampled {hertz} times a second of CPU time, stacks by {job.settings.unwind}')
    return profile
