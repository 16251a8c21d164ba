#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Equal maps on two machines: the protocol "mapdiff", version 1, written from its specification alone.

A `Map` is a dictionary that knows the hashes and digests of its entries. A `Session` is one side of the protocol and does no input or
output: give it what has come with `receive()`, send what `outgoing()` returns, until it is `done`.

    session = Session(here, TARGET, initiator=True)
    sock.sendall(session.outgoing())
    while not session.done:
        session.receive(sock.recv(65536))       # may raise a MapdiffError: `here` is as after its last slice
        sock.sendall(session.outgoing())

As a program:  mapdiff.py serve|join ADDRESS FILE [source|target|both]

ADDRESS is the path of a Unix socket, or a TCP port on 127.0.0.1; FILE has lines key=value. `serve` waits for one `join`, which opens the
session. Of two values the greater one stays, if it goes both ways.
"""
import bisect
import itertools
import os
import secrets
import socket
import struct
import sys
import time
from typing import NamedTuple

U64 = (1 << 64) - 1
VERSION = 1
KIND_U64, KIND_BYTES = 1, 2
SOURCE, TARGET, BOTH = 1, 2, 3
SLICE, CHECKS, ASK, EMPTY, LIST, DATA, TURN, GRANT, CLOSE, CLOSED, AGAIN, BYE = range(1, 13)
MOST_PAYLOAD = 65536
MOST_LISTED = 8192
MOST_BYTES = (1 << 31) - 1
MOST_IN_TURN = 1 << 22
MOST_TURNS = 2 * 128         # of both sides
PASSES = 8
NOTHING = (0, 0, 0)


class MapdiffError(Exception):
    """A session that has ended before its time; `why` is as in BYE."""
    why = 0

    def __init__(self, text, why=None):
        super().__init__(text)
        if why is not None:
            self.why = why


class Corrupt(MapdiffError):
    """Bytes that the specification does not allow."""
    why = 5


class Short(Corrupt):
    """Bytes that end too early."""


class Limit(MapdiffError):
    """Something that this side cannot say."""
    why = 3


class Disagreement(MapdiffError):
    """Another version, kind, seed or digest key, or roles that do not fit."""
    why = 7


class Ended(MapdiffError):
    """The other side has said BYE, or the stream has ended."""


# Hashes and digests

def siphash(c, d, key, data):
    """SipHash-c-d of bytes under two words."""
    words = struct.unpack(f"<{len(data) // 8 + 1}Q", data + bytes(7 - len(data) % 8) + bytes((len(data) & 255,)))
    v0, v1, v2, v3 = key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573
    rounds, last = c, len(words)
    for number, word in enumerate(words + (0,)):
        if number == last:
            v2 ^= 0xff
            rounds = d
        v3 ^= word
        for _ in range(rounds):
            v0 = v0 + v1 & U64
            v1 = (v1 << 13 & U64 | v1 >> 51) ^ v0
            v0 = v0 << 32 & U64 | v0 >> 32
            v2 = v2 + v3 & U64
            v3 = (v3 << 16 & U64 | v3 >> 48) ^ v2
            v0 = v0 + v3 & U64
            v3 = (v3 << 21 & U64 | v3 >> 43) ^ v0
            v2 = v2 + v1 & U64
            v1 = (v1 << 17 & U64 | v1 >> 47) ^ v2
            v2 = v2 << 32 & U64 | v2 >> 32
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def fnv1a(data):
    x = 0xcbf29ce484222325
    for byte in data:
        x = (x ^ byte) * 0x100000001b3 & U64
    return x


def finish(x):
    x = (x ^ x >> 33) * 0xff51afd7ed558ccd & U64
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53 & U64
    return x ^ x >> 33


def plus(one, other):
    """The digest of the entries of two digests."""
    return (one[0] + other[0] & U64, one[1] + other[1] & U64, one[2] + other[2] & U64)


def minus(one, other):
    return (one[0] - other[0] & U64, one[1] - other[1] & U64, one[2] - other[2] & U64)


class Entry(NamedTuple):
    hash: int
    key: object
    value: object
    digest: tuple       # of this entry alone


class Range(NamedTuple):
    """The entries whose hash begins with `prefix`, a number of `bits` bits."""
    bits: int
    prefix: int

    def start(self):
        return self.prefix << 64 - self.bits

    def end(self):
        return self.prefix + 1 << 64 - self.bits

    def child(self, k, number):
        return Range(self.bits + k, (self.prefix << k) + number)


class Map:
    """A map of one kind, with what the two sides must have in common."""

    def __init__(self, kind, seed, digest_key, items=()):
        self.kind, self.seed, self.digest_key = kind, seed, digest_key
        if kind == KIND_U64:
            salt, a, b = (siphash(2, 4, seed, bytes((i,))) for i in range(3))
            self.mix = salt, a | 1, b | 1
        self.entries = {}
        for key, value in dict(items).items():
            self[key] = value

    def __setitem__(self, key, value):
        self.entries[key] = self.entry(key, value)

    def items(self):
        """All entries as a plain dictionary."""
        return {entry.key: entry.value for entry in self.entries.values()}

    def hash(self, key):
        if self.kind == KIND_BYTES:
            return siphash(1, 3, self.seed, key)
        salt, a, b = self.mix
        h = (key ^ salt) * a & U64
        return (h ^ h >> 32) * b & U64

    def lanes(self, key, value):
        """f, and the two lanes made of it."""
        if self.kind == KIND_U64:
            f = fnv1a(struct.pack("<QQ", key, value))
        else:
            f = fnv1a(struct.pack("<Q", len(key)) + key + struct.pack("<Q", len(value)) + value)
        d0, d1 = self.digest_key
        return f, finish(f + d0 & U64), finish((f << 32 & U64 | f >> 32) ^ d1)

    def entry(self, key, value):
        return Entry(self.hash(key), key, value, self.lanes(key, value)[1:] + (1,))

    def order(self, entry):
        """What entries are ordered by."""
        return (entry.hash, entry.key) if self.kind == KIND_U64 else (entry.hash, len(entry.key), entry.key)

    def agreement(self):
        if self.kind == KIND_U64:
            salt, a, b = self.mix
            return siphash(2, 4, (salt, a), struct.pack("<3Q", b, *self.digest_key))
        return siphash(2, 4, self.seed, struct.pack("<2Q", *self.digest_key))


class Sorted:
    """The entries of a map in their order, with the digest of each range of them."""

    def __init__(self, map_):
        self.entries = sorted(map_.entries.values(), key=map_.order)
        self.hashes = [entry.hash for entry in self.entries]
        self.sums = [list(itertools.accumulate((entry.digest[lane] for entry in self.entries), initial=0)) for lane in (0, 1)]

    def bounds(self, start, end):
        low = bisect.bisect_left(self.hashes, start)
        return low, bisect.bisect_left(self.hashes, end, low)

    def count(self, part):
        low, high = self.bounds(part.start(), part.end())
        return high - low

    def of(self, part):
        low, high = self.bounds(part.start(), part.end())
        return self.entries[low:high]

    def digest(self, start, end):
        low, high = self.bounds(start, end)
        lane0, lane1 = ((sums[high] - sums[low]) & U64 for sums in self.sums)
        return lane0, lane1, high - low


# Bytes

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data, at):
    """The varint at `at` of data, and where it ends."""
    number = shift = 0
    while True:
        if at >= len(data):
            raise Short("a payload that ends too early")
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise Corrupt("a varint of too many bytes")
    if number > U64 or (shift and not byte):
        raise Corrupt("a varint that is too large, or not the shortest")
    return number, at


class Payload:
    """A payload, taken apart from its beginning."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def numbers(self, form):
        size = struct.calcsize(form)
        if self.left() < size:
            raise Short("a payload that ends too early")
        self.at += size
        return struct.unpack_from(form, self.data, self.at - size)

    def varint(self):
        number, self.at = read_varint(self.data, self.at)
        return number

    def digest(self):
        digest = self.numbers("<3Q")
        if not digest[2] and digest != NOTHING:
            raise Corrupt("a digest of nothing that is not 0")
        return digest

    def end(self):
        if self.left():
            raise Corrupt("a payload that is too long")


class Stream:
    """Bytes that come in pieces; more() is a generator that returns when another has been fed, and yields to wait."""

    def __init__(self, more):
        self.buffer, self.at, self.more = bytearray(), 0, more

    def feed(self, piece):
        if self.at > MOST_PAYLOAD:
            del self.buffer[:self.at]
            self.at = 0
        self.buffer += piece

    def left(self):
        return len(self.buffer) - self.at

    def take(self, count):
        while self.left() < count:
            yield from self.more()
        self.at += count
        return bytes(self.buffer[self.at - count:self.at])

    def varint(self):
        while True:
            try:
                number, self.at = read_varint(self.buffer, self.at)
                return number
            except Short:
                yield from self.more()


# A session

class Hello(NamedTuple):
    magic: bytes
    version: int
    kind: int
    role: int
    initiator: int
    zero: int
    window: int
    agreement: int
    nonce: int
    slice: int
    start: int          # in the specification: from
    digest: tuple
    before: tuple

    FORM = "<7s5BI4Q3Q3Q"
    SIZE = 96

    def pack(self):
        return struct.pack(self.FORM, *self[:11], *self.digest, *self.before)

    @classmethod
    def unpack(cls, data):
        fields = struct.unpack(cls.FORM, data)
        return cls(*fields[:11], fields[11:14], fields[14:17])

    def verify(self):
        """Of another version only the magic is known."""
        if self.magic != b"mapdiff":
            raise Corrupt("another magic")
        if self.version != VERSION:
            return
        if not (self.kind in (1, 2) and self.role in (1, 2, 3) and self.initiator in (0, 1) and self.zero == 0
                and self.window >= 65536 and 256 <= self.slice <= 1 << 20 and self.digest[2] <= 1 << 48):
            raise Corrupt("a field of hello is out of its range")
        if any(not digest[2] and digest != NOTHING for digest in (self.digest, self.before)):
            raise Corrupt("a digest of nothing that is not 0")
        if self.before[2] > self.digest[2] or (not self.start and self.before != NOTHING):
            raise Corrupt("`before` is not of entries before `from`")


class Answer(NamedTuple):
    """What the giver says to a list; `missing`: indices of the list, or (at the giver) the fingerprints there."""
    part: Range
    records: dict       # key: entry
    missing: list


class Turn:
    """What one side says before it waits for the other."""

    def __init__(self, asks=()):
        self.checks = {}                    # range: k, checks of its children
        self.asks = dict.fromkeys(asks)     # range: nothing
        self.empties = {}                   # range: nothing
        self.lists = {}                     # range: fingerprints
        self.items = {CHECKS: self.checks, ASK: self.asks, EMPTY: self.empties, LIST: self.lists}
        self.answers = []
        self.replies = []                   # entries
        self.data = bytearray()             # answers or replies, to be sent
        self.end, self.digest = TURN, None  # the digest of CLOSE and CLOSED

    def has(self, part):
        """Whether this range is answered."""
        return any(part in items for items in self.items.values())

    def wants(self, part):
        """Whether the other side may say something about this range."""
        parents = ((k, self.checks.get((part.bits - k, part.prefix >> k))) for k in range(1, min(12, part.bits) + 1))
        return part in self.asks or any(found is not None and found[0] == k for k, found in parents)


class Manner:
    """What is each side's own affair: when entries are few, and into how many parts a range is divided."""

    def few(self, asked):
        return 64 if asked else 16

    def k(self, count, ranges):
        """For a range with so many entries, in a turn in which so many ranges differ."""
        return min(((count - 1) // 16).bit_length(), 12 if ranges == 1 else 4)


class Session:
    """One side of a session. decide(key, own, theirs) is for two that are both BOTH, and returns the value that stays; only the
    initiator's is asked."""

    def __init__(self, map_, role, initiator, decide=lambda key, own, theirs: max(own, theirs), *,
                 window=1 << 20, slice_=1 << 20, start=0, nonce=None, manner=Manner()):
        self.map, self.role, self.initiator, self.decide, self.manner = map_, role, int(initiator), decide, manner
        self.giver = role == SOURCE or (role == BOTH and not initiator)
        self.window, self.slice, self.start = window, slice_, start if initiator else 0
        self.nonce = secrets.randbits(64) if nonce is None else nonce
        self.sorted = Sorted(map_)
        self.whole = self.sorted.digest(0, 1 << 64)
        self.peer = None                    # the other side's hello
        self.done, self.error = False, None
        self.theirs = NOTHING               # the other side's slice
        self.reached = 0                    # all before this hash is equal: where another session may begin
        self.passes = 0
        self.counts = {"new": 0, "replaced": 0, "removed": 0}
        self._out, self._said_hello = bytearray(), False
        self._sent = self._granted = 0      # bytes of DATA, and how many of them the other has granted
        self._came = self._grants = 0       # the same the other way
        self._in = Stream(self._wait)
        self._steps = self._run()
        self._advance()

    def receive(self, data):
        """Take what has come; nothing is the end of the stream. An error is raised once and for all; outgoing() may then have a BYE."""
        if not data and not self.done and not self.error:
            self.error = Ended("the stream has ended early")
        if self.error:
            raise self.error
        self._in.feed(data)
        if not self.done:
            self._advance()

    def outgoing(self):
        """What is to be sent now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def _advance(self):
        try:
            next(self._steps)
        except StopIteration:
            self.done = True
        except MapdiffError as error:
            self.error = error
            if self._said_hello and not isinstance(error, Ended):
                self._say(BYE, bytes((error.why,)))
            raise

    @staticmethod
    def _wait():
        yield

    def _run(self):
        """The whole session: a generator that yields when it needs more bytes. All that follows and reads is part of it."""
        yield from self._hellos()
        if self.peer.digest == self.whole:
            return
        most = min(self.slice, self.peer.slice)
        count = max(self.whole[2], self.peer.digest[2])
        self.slice_bits = next(n for n in range(64) if count >> n <= most)
        first = 0
        if self.start and self.before == self.peer.before:
            first = self.start >> 64 - self.slice_bits
        for number in range(first, 1 << self.slice_bits):
            part = Range(self.slice_bits, number)
            for nth in range(PASSES):
                if (yield from self._pass(part, nth)):
                    break
            self.reached = part.end() & U64

    # Hello

    def _say_hello(self):
        self.before = self.sorted.digest(0, self.start)
        hello = Hello(b"mapdiff", VERSION, self.map.kind, self.role, self.initiator, 0, self.window, self.map.agreement(), self.nonce,
                      self.slice, self.start, self.whole, self.before)
        self._out += hello.pack()
        self._said_hello = True

    def _hellos(self):
        if self.initiator:
            self._say_hello()
        self.peer = peer = Hello.unpack((yield from self._in.take(Hello.SIZE)))
        peer.verify()
        if peer.version == VERSION and peer.initiator == self.initiator:
            raise Corrupt("not one initiator")
        if not self.initiator:
            self.start = peer.start
            self._say_hello()
        if peer.version != VERSION:
            raise Disagreement("another version")
        if peer.start != self.start:
            raise Corrupt("another `from`")
        if peer.kind != self.map.kind:
            raise Disagreement("another kind of map")
        if peer.agreement != self.map.agreement():
            raise Disagreement("another seed or digest key")
        if (peer.role, self.role) not in ((SOURCE, TARGET), (TARGET, SOURCE), (BOTH, BOTH)):
            raise Disagreement("roles that do not fit")

    # Frames

    def _say(self, kind, payload=b""):
        self._out += bytes((kind,)) + varint(len(payload)) + payload

    def _frame(self):
        """The next frame, after what GRANT, BYE and DATA mean in any place."""
        kind = (yield from self._in.take(1))[0]
        if not SLICE <= kind <= BYE:
            raise Corrupt("an unknown type")
        length = yield from self._in.varint()
        if length > MOST_PAYLOAD:
            raise Corrupt("a frame that is too long")
        payload = Payload((yield from self._in.take(length)))
        if kind == GRANT:
            self._take_grant(payload)
        elif kind == BYE:
            why, = payload.numbers("<B")
            payload.end()
            raise Ended(f"the other side has said BYE {why}", why)
        elif kind == DATA:
            self._take_data(length)
        return kind, payload

    def _take_grant(self, payload):
        count = payload.varint()
        payload.end()
        if not 1 <= count <= self._sent - self._granted:
            raise Corrupt("a grant of nothing, or of more than was sent")
        self._granted += count

    def _take_data(self, length):
        self._came += length
        come = self._came - self._grants
        if not length or come > self.window:
            raise Corrupt("DATA without data, or beyond the window")
        if 2 * come >= self.window:
            self._grants += come
            self._say(GRANT, varint(come))

    def _next(self):
        """Have the next frame of a turn in self.kind and self.payload."""
        self.kind = GRANT
        while self.kind == GRANT:
            self.kind, self.payload = yield from self._frame()

    def _send_data(self, data):
        view = memoryview(data)
        while view:
            room = min(MOST_PAYLOAD, self.peer.window - self._sent + self._granted)
            if room:
                self._sent += len(view[:room])
                self._say(DATA, bytes(view[:room]))
                view = view[room:]
            elif (yield from self._frame())[0] != GRANT:
                raise Corrupt("a frame that is not due")

    # Passes

    def _pass(self, part, nth):
        """One pass over a slice: whether the slice is then equal."""
        self.passes += 1
        self.part, self.nth = part, nth
        nonces = (self.nonce, self.peer.nonce) if self.initiator else (self.peer.nonce, self.nonce)
        self.key = nonces[0] ^ nth, nonces[1]
        self.check_of_nothing = self._digest_check(NOTHING)
        self.own = self.sorted.digest(part.start(), part.end())
        self.changes = {}                   # key: entry, or None if it goes
        mine = got = Turn(asks=[part])      # the responder begins as if it had been asked
        for number in range(MOST_TURNS):
            if number % 2 == self.initiator:
                mine = turn = self._answer(got)
                yield from self._speak(turn, first=number < 2)
            else:
                got = turn = yield from self._listen(mine, first=number < 2)
            if turn.end in (CLOSED, AGAIN):
                return turn.end == CLOSED
        raise Corrupt("too many turns")

    def _digest_check(self, digest):
        return siphash(1, 3, self.key, struct.pack("<3Q", *digest)) & 0xffffffff

    def _check(self, part):
        digest = self.sorted.digest(part.start(), part.end())
        return self._digest_check(digest) if digest[2] else self.check_of_nothing

    def _fingerprint(self, entry):
        return self._digest_check(entry.digest)

    def _result(self):
        digest = self.own
        for key, entry in self.changes.items():
            if key in self.map.entries:
                digest = minus(digest, self.map.entries[key].digest)
            if entry:
                digest = plus(digest, entry.digest)
        return digest

    def _change(self):
        """Do to the map what is to change."""
        for key, entry in self.changes.items():
            old = self.map.entries.pop(key, None)
            if entry:
                self.map.entries[key] = entry
            self.counts["removed" if not entry else "replaced" if old else "new"] += 1

    def _again(self, turn):
        if self.nth == PASSES - 1:
            raise Corrupt("the last pass has failed")
        turn.end = AGAIN

    # Answering a turn

    def _answer(self, got):
        turn = Turn()
        differing = self._differing(got)
        if self.giver:
            self._give(got, differing, turn)
        else:
            self._list(got, differing, turn)
        return turn

    def _differing(self, got):
        """The ranges that differ, in their order."""
        differing = list(got.asks)
        for part, (k, checks) in got.checks.items():
            children = (part.child(k, i) for i in range(1 << k))
            differing += [child for child, check in zip(children, checks) if check != self._check(child)]
            if len(differing) > MOST_IN_TURN:
                raise Corrupt("too many ranges that differ")
        return sorted(differing, key=Range.start)

    def _divide(self, part, count, ranges):
        k = min(max(1, self.manner.k(count, ranges)), 12, 64 - part.bits)
        return k, [self._check(part.child(k, i)) for i in range(1 << k)]

    def _give(self, got, differing, turn):
        self.changes.update((entry.key, entry) for entry in got.replies)
        if got.end == CLOSE:
            turn.digest = self._result()
            if turn.digest != got.digest:
                if self.role == SOURCE:
                    raise Corrupt("a CLOSE that is not what was in SLICE")
                self._again(turn)
                return
            self._change()
            turn.end = CLOSED
        for part in differing:
            count = self.sorted.count(part)
            if not count:
                turn.empties[part] = None
            elif part.bits == 64 or count <= self.manner.few(False):
                turn.asks[part] = None
            else:
                turn.checks[part] = self._divide(part, count, len(differing))
        for part, fingerprints in got.lists.items():
            turn.answers.append(self._compare(part, fingerprints, turn.data))

    def _compare(self, part, fingerprints, data):
        """Answer one list."""
        wanted, found, records = set(fingerprints), set(), {}
        for entry in self.sorted.of(part):
            fingerprint = self._fingerprint(entry)
            if fingerprint in wanted:
                found.add(fingerprint)
            else:
                records[entry.key] = entry
                data += self._record(entry)
        missing = [n for n, fingerprint in enumerate(fingerprints) if fingerprint not in found]
        data += varint(0) + varint(len(missing))
        for before, n in zip([-1] + missing, missing):
            data += varint(n - before - 1)
        return Answer(part, records, wanted - found)

    def _list(self, got, differing, turn):
        for part in got.empties:
            self._gone(part, turn)
        for answer in got.answers:
            self._answered(answer, turn)
        for part in differing:
            count = self.sorted.count(part)
            if part.bits == 64 or count <= min(MOST_LISTED, self.manner.few(part in got.asks)):
                if count > MOST_LISTED:
                    raise Limit("more entries of one hash than a list can have")
                turn.lists[part] = [self._fingerprint(entry) for entry in self.sorted.of(part)]
            else:
                turn.checks[part] = self._divide(part, count, len(differing))
        if not turn.lists and not turn.checks:
            self._close(turn)

    def _close(self, turn):
        turn.end, turn.digest = CLOSE, self._result()
        self.closed = turn.digest
        if self.role == TARGET:
            if turn.digest == self.theirs:
                self._change()
            else:
                self._again(turn)

    def _gone(self, part, turn):
        """The giver has nothing in this range."""
        entries = self.sorted.of(part)
        if self.role == TARGET:
            self.changes.update((entry.key, None) for entry in entries)
        else:
            for entry in entries:
                turn.data += self._record(entry)
            turn.data += varint(0)

    def _answered(self, answer, turn):
        entries = self.sorted.of(answer.part)
        missing = [entries[n] for n in answer.missing]
        if self.role == TARGET:
            self.changes.update((entry.key, None) for entry in missing)
            self.changes.update(answer.records)
            return
        self.changes.update(item for item in answer.records.items() if item[0] not in self.map.entries)
        for own in missing:
            stays = self._decided(own, answer.records.get(own.key))
            if stays:
                turn.data += self._record(stays)
        if missing:
            turn.data += varint(0)

    def _decided(self, own, theirs):
        """The entry that the giver gets: none if it has it."""
        if theirs is None:
            return own
        value = self.decide(own.key, own.value, theirs.value)
        if value == own.value:
            return own
        self.changes[own.key] = theirs if value == theirs.value else self.map.entry(own.key, value)
        return None if value == theirs.value else self.changes[own.key]

    # Speaking

    def _record(self, entry):
        if self.map.kind == KIND_U64:
            return b"\1" + struct.pack("<QQ", entry.key, entry.value)
        return varint(len(entry.key) + 1) + varint(len(entry.value)) + entry.key + entry.value

    def _speak(self, turn, first):
        if first:
            self._say(SLICE, varint(self.part.prefix) + varint(self.nth) + struct.pack("<3Q", *self.own))
        for kind, items in turn.items.items():
            self._say_items(kind, items)
        yield from self._send_data(turn.data)
        self._say(turn.end, struct.pack("<3Q", *turn.digest) if turn.end in (CLOSE, CLOSED) else b"")

    def _say_items(self, kind, items):
        """In as many frames as they need: each has its own bits and k, and an end."""
        payload, head, last = b"", None, 0
        for part, said in items.items():
            its_head, rest = bytes((part.bits,)), b""
            if kind == CHECKS:
                its_head, rest = bytes((part.bits, said[0])), struct.pack(f"<{len(said[1])}I", *said[1])
            elif kind == LIST:
                rest = varint(len(said)) + struct.pack(f"<{len(said)}I", *said)
            item = varint(part.prefix - last - 1) + rest if its_head == head else b""
            if item and len(payload) + len(item) <= MOST_PAYLOAD:
                payload += item
            else:
                if payload:
                    self._say(kind, payload)
                payload, head = its_head + varint(part.prefix) + rest, its_head
            last = part.prefix
        if payload:
            self._say(kind, payload)

    # Listening

    def _listen(self, mine, first):
        """The other side's turn, which answers mine."""
        turn = Turn()
        yield from self._next()
        if first:
            self._read_slice()
            yield from self._next()
        self.ends, self.listed = {}, 0      # of what has been said in this turn, by type; how many fingerprints
        while self.kind == CHECKS:
            self._read_items(mine, turn)
            yield from self._next()
        while self.kind in ((LIST,) if self.giver else (ASK, EMPTY)):
            self._read_items(mine, turn)
            yield from self._next()
        if not all(map(turn.has, mine.asks)):
            raise Corrupt("a range that was asked for is not answered")
        yield from self._read_data(mine, turn)
        self._read_end(mine, turn)
        return turn

    def _read_slice(self):
        if self.kind != SLICE:
            raise Corrupt("a turn that does not begin with SLICE")
        number, nth = self.payload.varint(), self.payload.varint()
        before, self.theirs = self.theirs, self.payload.digest()
        self.payload.end()
        if (number, nth) != (self.part.prefix, self.nth):
            raise Corrupt("another slice, or another pass")
        if not self.part.bits and self.theirs != self.peer.digest:
            raise Corrupt("not the digest that was in hello")
        if self.nth and self.theirs != before:
            raise Corrupt("not the digest of the pass before")

    def _read_items(self, mine, turn):
        payload = self.payload
        bits, k = payload.numbers("<BB") if self.kind == CHECKS else payload.numbers("<B") + (0,)
        if bits + k > 64 or k > 12 or (self.kind == CHECKS and not k) or not payload.left():
            raise Corrupt("no items, or bits or k out of their range")
        prefix = -1
        while payload.left():
            prefix += 1 + payload.varint()
            part = Range(bits, prefix)
            self._due(part, mine, turn)
            said = None
            if self.kind == CHECKS:
                said = k, payload.numbers(f"<{1 << k}I")
            elif self.kind == LIST:
                said = self._read_fingerprints(payload)
            turn.items[self.kind][part] = said

    def _due(self, part, mine, turn):
        if part.prefix >> part.bits or part.start() < self.ends.get(self.kind, 0):
            raise Corrupt("a range that does not make sense, or is out of order")
        if turn.has(part) or not mine.wants(part):
            raise Corrupt("a range that is not due")
        self.ends[self.kind] = part.end()

    def _read_fingerprints(self, payload):
        count = payload.varint()
        self.listed += count
        if count > MOST_LISTED or self.listed > MOST_IN_TURN:
            raise Corrupt("too many fingerprints")
        return payload.numbers(f"<{count}I")

    def _read_data(self, mine, turn):
        self.data = Stream(self._more_data)
        for part, fingerprints in mine.lists.items():
            turn.answers.append((yield from self._read_answer(part, fingerprints)))
        if self.role == BOTH and self.giver:
            for part in mine.empties:
                turn.replies += (yield from self._read_records(part)).values()
            for answer in mine.answers:
                if answer.missing:
                    turn.replies += (yield from self._read_reply(answer))
        if self.data.left() or self.kind == DATA:
            raise Corrupt("DATA that is not due")

    def _more_data(self):
        if self.kind != DATA:
            raise Corrupt("DATA that ends too early")
        self.data.feed(self.payload.data)
        yield from self._next()

    def _read_answer(self, part, fingerprints):
        records = yield from self._read_records(part)
        listed = set(fingerprints)
        if any(self._fingerprint(entry) in listed for entry in records.values()):
            raise Corrupt("a record that was listed")
        count = yield from self.data.varint()
        missing, n = [], -1
        for _ in range(count):
            n += 1 + (yield from self.data.varint())
            if n >= len(fingerprints):
                raise Corrupt("an index that is not in the list")
            missing.append(n)
        return Answer(part, records, missing)

    def _read_reply(self, answer):
        records = (yield from self._read_records(answer.part)).values()
        if any(entry.key not in answer.records and self._fingerprint(entry) not in answer.missing for entry in records):
            raise Corrupt("a reply with a record that was not missing")
        return records

    def _read_records(self, part):
        records, last = {}, ()
        while True:
            entry = yield from self._read_record()
            if entry is None:
                return records
            order = self.map.order(entry)
            if not part.start() <= entry.hash < part.end() or order <= last:
                raise Corrupt("a record out of its range, or out of order")
            records[entry.key], last = entry, order

    def _read_record(self):
        length = yield from self.data.varint()
        if not length:
            return None
        if self.map.kind == KIND_U64:
            if length != 1:
                raise Corrupt("a record that does not begin with 1")
            return self.map.entry(*struct.unpack("<QQ", (yield from self.data.take(16))))
        value_length = yield from self.data.varint()
        if length - 1 > MOST_BYTES or value_length > MOST_BYTES:
            raise Corrupt("a key or value that is too long")
        key = yield from self.data.take(length - 1)
        return self.map.entry(key, (yield from self.data.take(value_length)))

    def _read_end(self, mine, turn):
        """The last frame of a turn: which it may be depends on what was said."""
        if self.giver:
            ends = (TURN,) if turn.checks or turn.lists else (CLOSE,) if self.role == BOTH else (CLOSE, AGAIN)
        else:
            ends = (TURN,) if mine.end == TURN else (CLOSED,) if self.role == TARGET else (CLOSED, AGAIN)
        if self.kind not in ends or (self.kind == AGAIN and self.nth == PASSES - 1):
            raise Corrupt("a frame that is not due")
        turn.end = self.kind
        if turn.end in (CLOSE, CLOSED):
            turn.digest = self.payload.digest()
        self.payload.end()
        if turn.end == CLOSED:
            if turn.digest != self.closed:
                raise Corrupt("a CLOSED that is not the result")
            if self.role == BOTH:
                self._change()


# The program

SEED = 0x736f6d6120617420, 0x746865206e6f7468
DIGEST_KEY = 0x20646f6373206578, 0x616d706c65206b79
ROLES = {"source": SOURCE, "target": TARGET, "both": BOTH}


def run(session, sock):
    """Carry a session over a socket to its end."""
    def flush():
        data = session.outgoing()
        if data:
            sock.sendall(data)

    try:
        flush()
        while not session.done:
            session.receive(sock.recv(1 << 18))
            flush()
    finally:
        # A socket that is closed with something unread may take back what was sent: the other side ends first.
        sock.settimeout(5)
        try:
            flush()
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 18):
                pass
        except OSError:
            pass


def open_socket(command, address, patience=10):
    family, where = (socket.AF_INET, ("127.0.0.1", int(address))) if address.isdigit() else (socket.AF_UNIX, address)
    if command == "serve":
        with socket.socket(family) as listener:
            if family == socket.AF_INET:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            elif os.path.exists(where):
                os.unlink(where)
            listener.bind(where)
            listener.listen(1)
            return listener.accept()[0]
    until = time.monotonic() + patience
    while True:
        sock = socket.socket(family)
        try:
            sock.connect(where)
            return sock
        except OSError:
            sock.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def load(path):
    with open(path, "rb") as file:
        pairs = (line.rstrip(b"\n").partition(b"=") for line in file)
        return Map(KIND_BYTES, SEED, DIGEST_KEY, ((key, value) for key, equals, value in pairs if equals))


def save(map_, path):
    with open(path + ".new", "wb") as file:
        file.writelines(key + b"=" + value + b"\n" for key, value in sorted(map_.items().items()))
    os.replace(path + ".new", path)


def main(arguments):
    if len(arguments) not in (3, 4) or arguments[0] not in ("serve", "join") or arguments[3:] and arguments[3] not in ROLES:
        print("usage: mapdiff.py serve|join ADDRESS FILE [source|target|both]", file=sys.stderr)
        return 2
    command, address, path = arguments[:3]
    role = ROLES[arguments[3]] if arguments[3:] else SOURCE if command == "serve" else TARGET
    here, text = load(path), "ok"
    session = Session(here, role, initiator=command == "join")
    try:
        with open_socket(command, address) as sock:
            run(session, sock)
    except (MapdiffError, OSError) as error:
        text = str(error)
    save(here, path)
    print(f"{text}:", ", ".join(f"{count} {what}" for what, count in session.counts.items()), file=sys.stderr)
    return 0 if text == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
