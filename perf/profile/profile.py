# SPDX-License-Identifier: ISC
"""A profile: call stacks and what was counted for each; its text form, folded stacks."""
import re

# What compilers add to the names of copies they make, and linkers to those of versions: the same function to people.
COPIES = re.compile(r'(\.(constprop|isra|part|cold|lto_priv)(\.\d+)?)+$|@@?GLIBC[\w.]*$')


class Column:
    """One number a stack has: 'samples' in 'count', say."""

    def __init__(self, name, unit):
        self.name, self.unit = name, unit


class Profile:
    """Stacks are tuples of names, outermost first; each has a number for every column. The picture shows column `shown`."""

    def __init__(self, kind, title, columns, shown=0, period=None):
        self.kind, self.title, self.columns, self.shown = kind, title, columns, shown
        self.period = period  # (Column, how much of it lies between two samples), if it was sampled
        self.about = None     # what was run, if it is not what the other kinds ran
        self.stacks = {}
        self.notes = []       # what people should know who read it

    def add(self, frames, values):
        frames = tuple(merge_unnamed([clean(name) for name in frames])) or ('[unknown]',)
        old = self.stacks.get(frames)
        self.stacks[frames] = [a + b for a, b in zip(old, values)] if old else list(values)

    @property
    def unit(self):
        return self.columns[self.shown].unit

    def shown_stacks(self):
        """The stacks with the number that the picture shows, without those that have none."""
        stacks = ((frames, round(values[self.shown])) for frames, values in self.stacks.items())
        return {frames: value for frames, value in stacks if value > 0}

    def total(self):
        return sum(self.shown_stacks().values())


def merge_unnamed(frames):
    """Without repetitions of a file whose functions have no names: [libc.so.6] once instead of three times in a row."""
    return [name for i, name in enumerate(frames) if not (i > 0 and name == frames[i - 1] and name.startswith('['))]


def clean(name):
    """A name as it may stand in folded stacks, where ';' and line ends have a meaning."""
    name = COPIES.sub('', ' '.join(name.split())).replace(';', ':')
    return name or '[unknown]'


def fold(profile):
    """The text: a line a stack, its frames with ';' between them, a blank, the number."""
    lines = sorted(f'{";".join(frames)} {value}\n' for frames, value in profile.shown_stacks().items())
    return ''.join(lines)


def unfold(text, name='the file'):
    """What fold() wrote. ValueError if it is something else."""
    stacks = {}
    for number, line in enumerate(text.splitlines(), 1):
        frames, _, value = line.rpartition(' ')
        if not frames or not value.isdigit():
            raise ValueError(f'{name}, line {number}: not a folded stack')
        key = tuple(frames.split(';'))
        stacks[key] = stacks.get(key, 0) + int(value)
    return stacks
