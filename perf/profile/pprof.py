# SPDX-License-Identifier: ISC
"""The form that `go tool pprof` reads: a gzip of one protocol buffer message, profile.proto's Profile."""
import gzip
import time

# Fields of the messages, as in the published schema; checked by decoding with profile.proto here (perf/profile/check).
SAMPLE_TYPE, SAMPLE, MAPPING, LOCATION, FUNCTION, STRING = 1, 2, 3, 4, 5, 6
TIME_NANOS, PERIOD_TYPE, PERIOD, COMMENT, DEFAULT_SAMPLE_TYPE = 9, 11, 12, 13, 14
VARINT, BYTES = 0, 2


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field, number):
    return varint(field << 3 | VARINT) + varint(number) if number else b''


def bytes_field(field, data):
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def packed_field(field, numbers):
    return bytes_field(field, b''.join(map(varint, numbers)))


class Table:
    """Gives each different text a number, in order of coming."""

    def __init__(self, first=None):
        self.numbers = {} if first is None else {first: 0}

    def __call__(self, text):
        return self.numbers.setdefault(text, len(self.numbers))


def value_type(strings, column):
    return number_field(1, strings(column.name)) + number_field(2, strings(column.unit))


def encode_samples(stacks, functions):
    out = []
    for frames, values in sorted(stacks.items()):
        locations = [functions(name) + 1 for name in reversed(frames)]  # innermost first
        out.append(bytes_field(SAMPLE, packed_field(1, locations) + packed_field(2, [round(v) for v in values])))
    return out


def encode_functions(functions, strings):
    """A location and a function for each name; numbers count from 1. Names are all there is, so no addresses."""
    out = []
    for name, number in functions.numbers.items():
        line = number_field(1, number + 1)
        out.append(bytes_field(LOCATION, number_field(1, number + 1) + number_field(2, 1) + bytes_field(4, line)))
    for name, number in functions.numbers.items():
        text = number_field(2, strings(name)) + number_field(3, strings(name))
        out.append(bytes_field(FUNCTION, number_field(1, number + 1) + text))
    return out


def encode(profile, title):
    """The message, not yet compressed."""
    strings, functions = Table(first=''), Table()
    out = [bytes_field(SAMPLE_TYPE, value_type(strings, column)) for column in profile.columns]
    out += encode_samples(profile.stacks, functions)
    has_functions = number_field(7, 1)
    out.append(bytes_field(MAPPING, number_field(1, 1) + number_field(5, strings(title)) + has_functions))
    out += encode_functions(functions, strings)
    out.append(number_field(TIME_NANOS, time.time_ns()))
    if profile.period:
        column, period = profile.period
        out.append(bytes_field(PERIOD_TYPE, value_type(strings, column)) + number_field(PERIOD, period))
    if profile.notes:
        out.append(packed_field(COMMENT, [strings(note) for note in profile.notes]))
    out.append(number_field(DEFAULT_SAMPLE_TYPE, strings(profile.columns[profile.shown].name)))
    out += [bytes_field(STRING, text.encode()) for text in strings.numbers]
    return b''.join(out)


def write(path, profile, title):
    path.write_bytes(gzip.compress(encode(profile, title), mtime=0))
