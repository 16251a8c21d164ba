# SPDX-License-Identifier: ISC
"""The command line of perf/profile/run."""
import argparse
import math
import pathlib
import re
import shutil

from job import ROOT

KINDS = ['cpu', 'alloc', 'contention', 'instructions']
OUT = ROOT / 'perf' / 'out' / 'profile'
# The built-in workload's options, and what they are if they are not given.
WORKLOAD = {'map': 'u64', 'entries': 100000, 'threads': 2, 'seconds': 2.0, 'ops': None, 'mix': '50:30:20', 'hot': 10}


class Parser(argparse.ArgumentParser):
    """Wrong command lines end with one line and status 2."""

    def error(self, message):
        self.exit(2, f'perf/profile/run: {message} (--help tells more)\n')


def count(least, most):
    def read(text):
        if not re.fullmatch(r'\d{1,18}', text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f'wants a number from {least} to {most}, not \'{text}\'')
        return int(text)
    return read


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f'wants seconds up to 3600, not \'{text}\'')
    return value


def mix(text):
    if not re.fullmatch(r'\d{1,3}:\d{1,3}:\d{1,3}', text) or not any(map(int, text.split(':'))):
        raise argparse.ArgumentTypeError(f'wants gets:puts:removes, as in 50:30:20, not \'{text}\'')
    return text


def kinds(text):
    wanted = text.split(',')
    for kind in wanted:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f'knows {", ".join(KINDS)}, not \'{kind}\'')
    return [kind for kind in KINDS if kind in wanted]


def add_common(parser):
    parser.add_argument('--out', type=pathlib.Path)
    parser.add_argument('--label')
    parser.add_argument('--help', action='store_true')


def parse_diff(words):
    parser = Parser(add_help=False, allow_abbrev=False)
    add_common(parser)
    parser.add_argument('runs', nargs='*')
    settings = parser.parse_args(words)
    settings.kinds = KINDS
    if not settings.help and len(settings.runs) != 2:
        parser.error('diff wants two directories that runs have written, or two files of folded stacks')
    settings.out = settings.out or OUT.with_name('profile-diff')
    return settings


def run_parser():
    parser = Parser(add_help=False, allow_abbrev=False)
    add_common(parser)
    parser.add_argument('--kinds', type=kinds, default=KINDS)
    parser.add_argument('--unwind', choices=['dwarf', 'fp'], default='dwarf')
    parser.add_argument('--frequency', type=count(1, 10000), default=499)
    parser.add_argument('--user-only', action='store_true')
    parser.add_argument('--alloc-with', choices=['auto', 'jemalloc', 'malloc'], default='auto')
    parser.add_argument('--contention-with', choices=['auto', 'perf', 'process'], default='auto')
    parser.add_argument('--timeout', type=count(1, 86400), default=600)
    parser.add_argument('--no-install', action='store_true')
    parser.add_argument('--map', choices=['u64', 'bytes'])
    parser.add_argument('--entries', type=count(1, 1 << 32))
    parser.add_argument('--threads', type=count(1, 256))
    parser.add_argument('--seconds', type=seconds)
    parser.add_argument('--ops', type=count(1, 10**15))
    parser.add_argument('--mix', type=mix)
    parser.add_argument('--hot', type=count(0, 100))
    return parser


def parse_run(words):
    parser = run_parser()
    end = words.index('--') if '--' in words else len(words)
    settings = parser.parse_args(words[:end])
    settings.program = words[end + 1:]
    if settings.help:
        return settings
    given = [name for name in WORKLOAD if getattr(settings, name) is not None]
    if end < len(words) and not settings.program:
        parser.error('there is no program after --')
    if settings.program and given:
        parser.error(f'--{given[0]} is for the built-in workload, not for a program of your own')
    if settings.program and not shutil.which(settings.program[0]):
        parser.error(f'cannot run \'{settings.program[0]}\': there is no such program')
    settings.out = settings.out or OUT
    return settings


def workload_options(settings):
    """All of them, so that titles say what was run."""
    words = []
    for name, default in WORKLOAD.items():
        given = getattr(settings, name)
        value = default if given is None else given
        if value is None or (name == 'seconds' and settings.ops):
            continue
        words += [f'--{name}', f'{value:g}' if isinstance(value, float) else str(value)]
    return words
