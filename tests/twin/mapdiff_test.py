#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Tests of mapdiff.py: the specification's vectors, sessions of two, bytes that are not as they should be; and, with --program PATH,
sessions with another implementation, a program that is used as mapdiff.py is. Prints TAP."""
import argparse
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
import mapdiff
from mapdiff import (AGAIN, ASK, BOTH, BYE, CHECKS, CLOSE, CLOSED, DATA, EMPTY, GRANT, KIND_BYTES, KIND_U64, LIST, SLICE, SOURCE, TARGET,
                     TURN, U64, Map, Session, siphash, varint)

SEED = 0x0706050403020100, 0x0f0e0d0c0b0a0908
DIGEST_KEY = 1, 2
PAIRS = (SOURCE, TARGET), (TARGET, SOURCE), (BOTH, BOTH)       # initiator, responder
NAMES = {role: name for name, role in mapdiff.ROLES.items()}
KINDS = {KIND_U64: "u64", KIND_BYTES: "bytes"}


# What the tests are made of

def new_map(kind, items, seed=SEED, digest_key=DIGEST_KEY):
    return Map(kind, seed, digest_key, items)


def copy(map_):
    """The same map again; hashes and digests are not made twice."""
    other = Map(map_.kind, map_.seed, map_.digest_key)
    other.entries = dict(map_.entries)
    return other


def talk(one, other, chance=None, spoil=None):
    """Have two sessions talk to their end, or to that of what they have to say. With `chance`, in pieces of any size; spoil(side, data)
    gives what arrives of that which side 0 or 1 says. Returns what each has said, turn by turn."""
    sides, pipes, said = (one, other), (bytearray(), bytearray()), ([], [])
    moved = True
    while moved:
        moved = False
        for i, side in enumerate(sides):
            out = side.outgoing()
            if out:
                said[i].append(out)
                pipes[1 - i].extend(spoil(i, out) if spoil else out)
                moved = True
            pipe = pipes[i]
            if pipe and not side.error:
                size = chance.choice((1, 3, 40, 1000, len(pipe))) if chance else len(pipe)
                piece = bytes(pipe[:size])
                del pipe[:size]
                moved = True
                try:
                    side.receive(piece)
                except mapdiff.MapdiffError:
                    pass
    for side in sides:
        try:
            side.receive(b"")
        except mapdiff.MapdiffError:
            pass
    return said


def expected(ours, theirs, role):
    """What two dictionaries must be when one of this role has met another: both the same."""
    if role == SOURCE:
        return dict(ours)
    if role == TARGET:
        return dict(theirs)
    return {key: max(items[key] for items in (ours, theirs) if key in items) for key in {**ours, **theirs}}


def random_items(chance, kind, count, longest=12):
    if kind == KIND_U64:
        return {chance.choice((i, chance.getrandbits(64))): chance.getrandbits(chance.choice((1, 8, 64))) for i in range(count)}
    return {b"%d" % i if chance.random() < .7 else chance.randbytes(chance.randrange(20)): chance.randbytes(chance.randrange(longest))
            for i in range(count)}


def changed(chance, kind, items, share):
    """Other items, of which about this share differs."""
    other = {key: value for key, value in items.items() if chance.random() > share / 3}
    for key in other:
        if chance.random() < share / 3:
            other[key] = chance.getrandbits(64) if kind == KIND_U64 else chance.randbytes(5)
    other.update(random_items(chance, kind, int(len(items) * share / 3)))
    return other


class Whim(mapdiff.Manner):
    """Any of the choices that the specification leaves."""

    def __init__(self, chance):
        self.chance = chance

    def few(self, asked):
        return self.chance.choice((0, 1, 16, 64, 8192))

    def k(self, count, ranges):
        return self.chance.choice((1, 2, 3, 4, 5, 12 if ranges < 3 else 6))


class Weak(Session):
    """Whose checks have but 3 bits in the first passes, so that two different things often have one."""
    weak = 2

    def _digest_check(self, digest):
        check = super()._digest_check(digest)
        return check & 7 if self.nth < self.weak else check


class Hopeless(Weak):
    weak = mapdiff.PASSES


class Liar(Session):
    """Who makes the first passes fail in ways that the other side cannot see, or must find at their end."""
    lies = 3

    def _compare(self, part, fingerprints, data):
        at = len(data)
        answer = super()._compare(part, fingerprints, data)
        if self.nth < self.lies and self.role == SOURCE:
            data[at:] = b"\0\0"             # "nothing to say about this list"
        return answer

    def _result(self):
        digest = super()._result()
        return digest if self.nth >= self.lies or self.role == SOURCE else mapdiff.plus(digest, (1, 0, 0))


def sessions(here, there, roles, chance=None, kind_of=Session, **settings):
    """An initiator and a responder."""
    def settle():
        if not chance:
            return {}
        return {"window": chance.choice((65536, 1 << 20)), "slice_": chance.choice((256, 1 << 20)), "manner": Whim(chance),
                "nonce": chance.getrandbits(64)}
    start = chance.choice((0, chance.getrandbits(64))) if chance else 0
    return (kind_of(here, roles[0], True, start=start, **{**settle(), **settings}), kind_of(there, roles[1], False, **settle()))


def check(condition, *what):
    if not condition:
        raise AssertionError(*what)


def same(one, other, *what):
    check(one == other, f"{one!r:.300} is not {other!r:.300}", *what)


# Vectors

def test_hashes(_):
    same(siphash(2, 4, SEED, b""), 0x726fdb47dd0e0e31)
    same([siphash(1, 3, SEED, data) for data in (b"", b"a", bytes(range(8)))], [0xabac0158050fc4dc, 0x1c2697ab786a6237, 0x369095118d299a8e])
    words, strings = new_map(KIND_U64, {}), new_map(KIND_BYTES, {})
    same(words.mix, (0x74f839c593dc67fd, 0x6e534dc3c9ab17a3, 0xf1f5c5a9e7946377))
    same([words.hash(key) for key in (0, 1, 2, U64)], [0x423871ee47098fed, 0x20b5a35af3630a84, 0x6c1303b755bcb022, 0xa0caee8ccdbbae7a])
    same(words.lanes(1, 2), (0x7717980363c8e066, 0x6b2d3c4a314ddb61, 0xb3427d7953c65eb4))
    same(strings.lanes(b"a", b"b"), (0x41c80da72d0aec94, 0x0cc5952f6dcdc1e3, 0x24ab06868d9ab2eb))
    same((words.agreement(), strings.agreement()), (0x5fd85e5891ccbc5d, 0x37382fc97ba06c65))
    session = Session(strings, SOURCE, True)
    session.key = 5, 6
    same(session._digest_check(mapdiff.NOTHING), 0x825771e4)
    same(session._fingerprint(strings.entry(b"a", b"b")), 0x9c282032)


VECTORS = {
    "a small map, one way": (KIND_U64, (TARGET, SOURCE), {2: 20, 3: 31, 4: 40}, {1: 10, 2: 20, 3: 30}, """
        6d6170646966660101020100000010005dbccc91585ed85f0500000000000000
        00001000000000000000000000000000ae6f07940273af8df56c3440c5fa57db
        0300000000000000000000000000000000000000000000000000000000000000

        6d6170646966660101010000000010005dbccc91585ed85f0600000000000000
        00001000000000000000000000000000e60ee4279b51c92cc4e09570d8f12b87
        0300000000000000000000000000000000000000000000000000000000000000
        011a0000e60ee4279b51c92cc4e09570d8f12b87030000000000000003020000
        0700

        011a0000ae6f07940273af8df56c3440c5fa57db0300000000000000050f0000
        0331797ccc103c99f34df868230700

        06260101000000000000000a000000000000000103000000000000001e000000
        00000000000200010700

        0918e60ee4279b51c92cc4e09570d8f12b870300000000000000

        0a18e60ee4279b51c92cc4e09570d8f12b870300000000000000"""),
    "both ways, with a conflict": (KIND_BYTES, (BOTH, BOTH), {b"colour": b"teal", b"size": b"7"}, {b"colour": b"red", b"": b""}, """
        6d617064696666010203010000001000656ca07bc92f38370500000000000000
        0000100000000000000000000000000011e77a2f8c4eb6a6073de396e5fac064
        0200000000000000000000000000000000000000000000000000000000000000

        6d617064696666010203000000001000656ca07bc92f38370600000000000000
        000010000000000000000000000000009be2d101b5d660ffc907ad2838435872
        0200000000000000000000000000000000000000000000000000000000000000
        011a00009be2d101b5d660ffc907ad2838435872020000000000000003020000
        0700

        011a000011e77a2f8c4eb6a6073de396e5fac0640200000000000000050b0000
        02989f508fc6fb8bde0700

        06110703636f6c6f75727265640100000200000700

        06140704636f6c6f75727465616c050173697a65370009187cf5e55d63e8a605
        e7f23d6290fdfd4f0300000000000000

        0a187cf5e55d63e8a605e7f23d6290fdfd4f0300000000000000"""),
    "a range that is divided": (KIND_U64, (TARGET, SOURCE), {k: k * k for k in range(1, 41) if k != 7},
                                {k: k * k if k != 12 else 0 for k in range(1, 41) if k != 9}, """
        6d6170646966660101020100000010005dbccc91585ed85f0500000000000000
        00001000000000000000000000000000d9ef8208383abd8b4252c13f4e503762
        2700000000000000000000000000000000000000000000000000000000000000

        6d6170646966660101010000000010005dbccc91585ed85f0600000000000000
        00001000000000000000000000000000aef5e360f74a986476f1e134434490ff
        2700000000000000000000000000000000000000000000000000000000000000
        011a0000aef5e360f74a986476f1e134434490ff270000000000000002130002
        00c5c1bd20185b1da717732320a8c9bc3a0700

        011a0000d9ef8208383abd8b4252c13f4e5037622700000000000000057b0200
        0b6f1ee93703850b486887548c431fb5383aa9c0c88de5eeefbe69dc0b258fef
        ad194bba1683ab9c263a7b5d3f00091b4e3b281d13f4ad18b9385878a7750004
        29998b007cb6f38af0b1bfefad32e7ceaa680400094e64926d5fc30163c63997
        480da0c245629f444fcac342cae5916129fe70c0ea6a6c36860700

        062a00010701070000000000000031000000000000000000010c000000000000
        0000000000000000000001050700

        0918aef5e360f74a986476f1e134434490ff2700000000000000

        0a18aef5e360f74a986476f1e134434490ff2700000000000000"""),
}


def vector(name):
    """An initiator, a responder, and what they say by turns, the initiator first."""
    kind, roles, here, there, text = VECTORS[name]
    here, there = new_map(kind, here), new_map(kind, there)
    blocks = [bytes.fromhex(block) for block in text.split("\n\n")]
    return Session(here, roles[0], True, decide=lambda key, own, theirs: own, nonce=5), Session(there, roles[1], False, nonce=6), blocks


def vector_test(name):
    def test(_):
        one, other, blocks = vector(name)
        same(talk(one, other), (blocks[0::2], blocks[1::2]))
        check(one.done and other.done)
        same(one.map.items(), other.map.items())
    return test


# Sessions of two

def whole_session(one, other, items, chance=None, spoil=None):
    talk(one, other, chance, spoil)
    check(one.done and other.done, one.error, other.error)
    same(one.map.items(), items)
    same(other.map.items(), items)


def random_test(kind, roles, kind_of=Session):
    def test(options):
        chance = random.Random(f"{kind} {roles}")
        passes = 0
        for _ in range(4 if options.quick else 15):
            here = random_items(chance, kind, chance.choice((0, 1, 20, 100, 700)))
            there = changed(chance, kind, here, chance.choice((0, .02, .3, 1, 3)))
            one, other = sessions(new_map(kind, here), new_map(kind, there), roles, chance, kind_of)
            whole_session(one, other, expected(here, there, roles[0]), chance)
            passes = max(passes, one.passes)
        check(kind_of is Session or passes > 1, "no pass has failed")
    return test


def test_hopeless(_):
    """The eighth pass fails: both end, and nothing has changed."""
    for roles in PAIRS:
        chance = random.Random(1)
        here = random_items(chance, KIND_U64, 400)
        there = changed(chance, KIND_U64, here, 1)
        one, other = sessions(new_map(KIND_U64, here), new_map(KIND_U64, there), roles, kind_of=Hopeless)
        talk(one, other)
        same((one.passes, other.passes), (8, 8))
        same({type(one.error), type(other.error)}, {mapdiff.Corrupt, mapdiff.Ended})
        same((one.error.why, other.error.why), (5, 5))
        same((one.map.items(), other.map.items()), (here, there))


def test_window(_):
    """Far more DATA than a window, to either side."""
    chance = random.Random(2)
    here = {b"%d" % i: chance.randbytes(3000) for i in range(100)}
    there = {b"%d" % i: chance.randbytes(3000) for i in range(50, 150)}
    for roles in PAIRS:
        one, other = (Session(new_map(KIND_BYTES, items), role, first, window=65536)
                      for items, role, first in ((here, roles[0], True), (there, roles[1], False)))
        whole_session(one, other, expected(here, there, roles[0]), chance)


def test_resumed(_):
    """A session that ends in the middle, and another that goes on from where it was."""
    chance = random.Random(3)
    here = random_items(chance, KIND_U64, 3000)
    there = changed(chance, KIND_U64, here, .3)
    for roles in PAIRS:
        one, other = (Session(new_map(KIND_U64, items), role, first, slice_=256)
                      for items, role, first in ((here, roles[0], True), (there, roles[1], False)))
        room = [20000]

        def spoil(side, data):
            room[0] -= len(data)
            return data if room[0] > 0 else b""
        talk(one, other, spoil=spoil)
        check(one.error and other.error and 0 < one.reached and 0 < other.reached)
        start = min(one.reached, other.reached)
        first, second = one.map.items(), other.map.items()
        items = expected(here, there, roles[0])
        check(first not in (here, items) or second not in (there, items), "not in the middle")
        one, other = (Session(session.map, session.role, session.initiator, slice_=256, start=start) for session in (one, other))
        same(one.sorted.digest(0, start), other.sorted.digest(0, start))
        whole_session(one, other, items)
        check(one.passes < 1 << one.slice_bits, "began at the beginning")


def test_merged(options):
    """A rule that makes a value of both, and one that takes the other side's."""
    chance = random.Random(6)
    here, there = program_maps(chance, 300, .5)
    for rule in (lambda key, own, theirs: own + b"+" + theirs, lambda key, own, theirs: theirs):
        items = {**there, **{key: rule(key, value, there[key]) if there.get(key, value) != value else value for key, value in here.items()}}
        whole_session(Session(new_map(KIND_BYTES, here), BOTH, True, decide=rule), Session(new_map(KIND_BYTES, there), BOTH, False), items)
        if options.program:
            session, program = meet(options, here, there, (BOTH, BOTH), False, decide=rule)
            same((session.map.items(), program.items), (items, items))


def test_equal(_):
    for kind in KINDS:
        items = random_items(random.Random(4), kind, 50)
        one, other = sessions(new_map(kind, items), new_map(kind, items), (SOURCE, TARGET))
        same([len(b"".join(blocks)) for blocks in talk(one, other)], [96, 96])
        check(one.done and other.done)


def test_speed(options):
    count = 2000 if options.quick else 20000
    here = new_map(KIND_BYTES, {b"key %d" % i: b"value %d" % i for i in range(count)})
    there = copy(here)
    for i in range(0, count, 100):
        there[b"key %d" % i] = b"another"
        there[b"new %d" % i] = b""
    one, other = sessions(here, there, (TARGET, SOURCE))
    began = time.perf_counter()
    blocks = talk(one, other)
    check(one.done and other.done)
    same(one.map.items(), other.map.items())
    print(f"# {count} entries, {one.counts['new'] + one.counts['replaced']} changed: {time.perf_counter() - began:.1f} s, "
          f"{sum(map(len, blocks[0] + blocks[1]))} bytes, {len(blocks[0])} turns")


# Bytes that are not as they should be

def test_truncated(options):
    """Every prefix of what a side hears: an error, and a map as before or as after."""
    for name, (_, _, here, there, _) in VECTORS.items():
        blocks = vector(name)[2]
        for listener in (0, 1):
            heard = b"".join(blocks[1 - listener::2])
            outcomes = set()
            for size in range(1, len(heard), 7 if options.quick else 1):
                session = vector(name)[listener]
                before = session.map.items()
                session.receive(heard[:size])
                check(not session.done)
                try:
                    session.receive(b"")
                    check(False, "no error")
                except mapdiff.Ended:
                    outcomes.add(session.map.items() == before)
            same(outcomes, {True, False} if session.role == TARGET else {True})


def flipped(chance, share):
    def spoil(_, data):
        data = bytearray(data)
        if chance.random() < share:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return data
    return spoil


def frames_of(data, at):
    """Where the frames begin and end."""
    while at < len(data):
        length, payload = mapdiff.read_varint(data, at + 1)
        yield at, payload, payload + length
        at = payload + length


def moved_frames(chance, share):
    """A frame twice, or not at all, or elsewhere, or of another type, or cut, with all lengths right."""
    began = [False, False]

    def spoil(side, data):
        at, began[side] = 0 if began[side] else 96, True
        if chance.random() > share:
            return data
        frames = [bytes(data[start:end]) for start, _, end in frames_of(data, at)]
        if frames:
            i, j = (chance.randrange(len(frames)) for _ in range(2))
            what, frame = chance.randrange(5), frames[i]
            kind, payload = frame[0], frame[1 + len(varint(len(frame))):] if len(frame) < 128 else frame[3:]
            if what == 0:
                frames.insert(j, frame)
            elif what == 1:
                del frames[i]
            elif what == 2:
                frames[i], frames[j] = frames[j], frames[i]
            elif what == 3:
                frames[i] = bytes((chance.randrange(14),)) + frame[1:]
            else:
                payload = payload[:chance.randrange(len(payload) + 1)] + chance.randbytes(chance.randrange(3))
                frames[i] = bytes((kind,)) + varint(len(payload)) + payload
        return data[:at] + b"".join(frames)
    return spoil


def spoilt_test(kind, roles, spoiler):
    """Errors, or equal maps: never done and not equal. Who ends with an error has its map as at the end of some slice."""
    def test(options):
        chance = random.Random(f"{kind} {roles}")
        errors = equal = 0
        pool = []
        for _ in range(4):
            here = random_items(chance, kind, chance.choice((3, 30, 100)))
            there = changed(chance, kind, here, 1)
            pool.append((new_map(kind, here), new_map(kind, there), expected(here, there, roles[0])))
        for _ in range(40 if options.quick else 250):
            here, there, items = chance.choice(pool)
            one, other = sessions(copy(here), copy(there), roles, nonce=chance.getrandbits(64))
            talk(one, other, chance if chance.random() < .3 else None, spoiler(chance, .15))
            if one.done and other.done:
                equal += 1
                same(one.map.items(), items)
                same(other.map.items(), items)
            else:
                errors += 1
                check(one.error or other.error)
                check(one.map.items() in (here.items(), items) and other.map.items() in (there.items(), items))
        check(errors > 2 and equal > 2, errors, equal)
    return test


def frame(kind, payload=b""):
    return bytes((kind,)) + varint(len(payload)) + payload


def digest_bytes(digest):
    return struct.pack("<3Q", *digest)


def refused(session, data, why=5):
    before = session.map.items()
    try:
        session.outgoing()
        session.receive(data)
    except mapdiff.MapdiffError as error:
        same(error.why, why)
        check(not isinstance(error, mapdiff.Ended))
        out = session.outgoing()
        if why == 5 and len(data) == mapdiff.Hello.SIZE and not session.initiator:
            same(out, b"")                  # nothing was said, so nothing is
        else:
            check(out.endswith(bytes((BYE, 1, why))), out)
        same(session.map.items(), before)
        return
    check(False, "taken", data)


def test_hello(_):
    def hello(session, **fields):
        return mapdiff.Hello.unpack(vector_hello[session.initiator])._replace(**fields).pack()

    for first in (True, False):
        blocks = vector("a small map, one way")[2]
        vector_hello = {True: blocks[1][:96], False: blocks[0]}         # what the session of this `initiator` hears
        for fields, why in (({"magic": b"mapdifg"}, 5), ({"kind": 0}, 5), ({"kind": 3}, 5), ({"role": 0}, 5), ({"role": 4}, 5),
                            ({"initiator": first}, 5), ({"initiator": 2}, 5), ({"zero": 1}, 5), ({"window": 65535}, 5), ({"slice": 255}, 5),
                            ({"slice": (1 << 20) + 1}, 5), ({"digest": (1, 1, (1 << 48) + 1)}, 5), ({"before": (1, 1, 1)}, 5),
                            ({"start": 1 << 63, "before": (1, 1, 4)}, 5), ({"before": (0, 1, 0)}, 5), ({"digest": (1, 0, 0)}, 5),
                            ({"version": 2}, 7), ({"version": 0, "kind": 9}, 7), ({"kind": 2}, 7), ({"agreement": 1}, 7),
                            ({"role": TARGET if first else SOURCE}, 7), ({"role": BOTH}, 7)):
            session = vector("a small map, one way")[0 if first else 1]
            refused(session, hello(session, **fields), why)
    session = vector("a small map, one way")[0]
    refused(session, hello(session, start=1))


def test_giver_refused(_):
    """What a giver may not say, to a lister that is the initiator and has 39 entries."""
    blocks = vector("a range that is divided")[2]
    hello, first = blocks[1][:96], blocks[1][96:96 + 28]
    checks = bytes((0, 2, 0)) + bytes(16)
    for data in (
            frame(0), frame(13), bytes((CHECKS,)) + varint(65537), bytes((SLICE, 0x9a, 0)), frame(TURN), frame(ASK, bytes((0, 0))),
            first[:2] + b"\1" + first[3:], first[:3] + b"\1" + first[4:], first[:5] + bytes(23), frame(SLICE, first[2:] + b"\0"),
            frame(SLICE, first[2:-1]), frame(SLICE, b"\x80" + first[2:]),
            first + frame(TURN), first + first, first + frame(LIST, bytes((0, 0, 0))), first + frame(DATA, b"\0\0"),
            first + frame(AGAIN), first + frame(CLOSE, first[4:]), first + frame(CLOSED, first[4:]),
            first + frame(CHECKS), first + frame(CHECKS, bytes((0, 2))), first + frame(CHECKS, checks[:-1]),
            first + frame(CHECKS, checks + b"\0"),
            first + frame(CHECKS, bytes((0, 0, 0)) + bytes(4)), first + frame(CHECKS, bytes((0, 13, 0)) + bytes(4 << 13)),
            first + frame(CHECKS, bytes((1, 2, 0)) + bytes(16)), first + frame(CHECKS, bytes((64, 1, 0)) + bytes(8)),
            first + frame(CHECKS, bytes((0, 2, 1)) + bytes(16)), first + frame(CHECKS, checks + checks[2:]),
            first + 2 * frame(CHECKS, checks), first + frame(CHECKS, checks) + frame(ASK, bytes((0, 0))),
            first + frame(ASK, bytes((0,))), first + frame(ASK, bytes((1, 0))), first + frame(ASK, bytes((0, 1))),
            first + frame(ASK, bytes((65, 0))), first + frame(ASK, bytes((0, 0x80, 0))),
            first + frame(ASK, bytes((0,)) + b"\xff" * 9 + b"\2"),
            first + frame(ASK, bytes((0, 0))) + frame(CHECKS, checks), first + frame(ASK, bytes((0, 0))) + frame(EMPTY, bytes((0, 0))),
            first + frame(ASK, bytes((0, 0))) + frame(DATA, b"\0\0"), first + frame(ASK, bytes((0, 0))) + frame(CLOSED, first[4:]),
            first + frame(GRANT), first + frame(GRANT, b"\0"), first + frame(GRANT, b"\1"), first + frame(BYE)[:1] + b"\0",
            first + frame(ASK, bytes((0, 0))) + frame(TURN, b"\0")):
        session = vector("a range that is divided")[0]
        refused(session, hello + data)


def test_answer_refused(_):
    """DATA that is not an answer to three listed entries."""
    blocks = vector("a small map, one way")[2]
    start, good = blocks[1], blocks[3][2:40]
    session = vector("a small map, one way")[0]
    one, three = good[:17], good[17:34]
    two, four = (b"\1" + struct.pack("<QQ", key, value) for key, value in ((2, 20), (4, 41)))
    for data in (good[:-1], good + b"\0", one + three, b"\0", b"\0\1", b"\0\1\3", b"\0\2\0\2", b"\0\4\0\0\0\0", three + one + b"\0\0",
                 one + one + b"\0\0",
                 sorted((two, one), key=lambda record: session.map.hash(record[1]))[0] + two + b"\0\0", b"\2" + one[1:] + b"\0\0",
                 one[:-1] + b"\0\0", b"\x80\0" + good, b"\0\x80\0", four + one[:5]):
        session = vector("a small map, one way")[0]
        refused(session, start + frame(DATA, data) + frame(TURN))
    for data in (frame(TURN), frame(DATA) + frame(DATA, good) + frame(TURN), frame(DATA, good), frame(ASK, b"\0\0"),
                 frame(DATA, good[:9]) + frame(TURN) + frame(DATA, good[9:]) + frame(TURN), frame(DATA, good) + frame(ASK, b"\0\0")):
        session = vector("a small map, one way")[0]
        refused(session, start + data + frame(CLOSED, digest_bytes(session.whole)))
    session = vector("a small map, one way")[0]     # another value: the result is not the source's
    session.outgoing()
    session.receive(start)
    before = session.outgoing(), session.map.items()
    session.receive(frame(DATA, good[:9] + b"\xff" + good[10:]) + frame(TURN))
    same((session.outgoing(), session.map.items()), (frame(AGAIN), before[1]))


def test_lister_refused(_):
    """What a lister may not say, to a giver that has asked for all it has, and to one that waits for its replies."""
    for name in ("a small map, one way", "both ways, with a conflict"):
        blocks = vector(name)[2]
        first, listed = blocks[2][:28], blocks[2][28:-2]
        count = listed[4]
        for data in (listed, first + frame(TURN), first + frame(ASK, b"\0\0"), first + frame(EMPTY, b"\0\0"),
                     first + frame(LIST, listed[2:] + b"\0"), first + frame(LIST, b"\0\0" + varint(8193) + bytes(4 * 8193)),
                     first + frame(LIST, b"\0\0\x80\0"), first + listed + frame(CLOSE, first[4:]), first + listed + frame(AGAIN),
                     first + listed + frame(DATA, b"\0"), first + listed + listed, first + listed + frame(CHECKS, b"\0\1\0" + bytes(8)),
                     first + frame(CLOSE, first[4:]), first + frame(AGAIN), first + listed + frame(CLOSED, first[4:])):
            refused(vector(name)[1], blocks[0] + data)
        session = vector(name)[1]
        session.receive(blocks[0] + blocks[2])
        for data in (frame(TURN), listed + frame(TURN), frame(CLOSED, first[4:]), frame(GRANT, varint(200)), frame(CLOSE, bytes(23)),
                     *([frame(AGAIN), frame(CLOSE, blocks[4][-24:]), frame(DATA, blocks[4][2:21]) + blocks[4][22:],
                        frame(DATA, b"\5\1size7\7\4colourteal\0") + blocks[4][-26:], frame(DATA, b"\5\1size8\0") + blocks[4][-26:],
                        blocks[4][:22] + frame(TURN), blocks[4][:22] + frame(DATA, b"\0") + blocks[4][-26:]]
                       if session.role == BOTH else [frame(DATA, b"\0") + blocks[4], frame(CLOSE, first[4:])])):
            session = vector(name)[1]
            session.receive(blocks[0] + blocks[2])
            refused(session, data)
        same(count, 3 if name.startswith("a small") else 2)


def test_late_refused(_):
    """What is wrong only after much that was right."""
    name = "a range that is divided"
    blocks = vector(name)[2]
    data = blocks[3][2:44]
    elsewhere = data[3:20] + data[:3] + data[20:]       # a record in the answer before its own
    descending = frame(LIST, b"\2\1\0") + frame(LIST, b"\2\0\0")
    for side, heard, said in ((0, blocks[1], frame(DATA, elsewhere) + frame(TURN)), (0, blocks[1] + blocks[3], frame(CLOSED, bytes(24))),
                              (0, blocks[1] + blocks[3], frame(AGAIN)), (1, blocks[0] + blocks[2][:28], descending + frame(TURN))):
        session = vector(name)[side]
        session.receive(heard)
        refused(session, said)
    session = vector(name)[1]
    session.receive(blocks[0] + blocks[2])
    session.nth = mapdiff.PASSES - 1
    refused(session, frame(AGAIN))


def test_beyond_window(_):
    """DATA beyond the window: of a side that grants at once, more than the window in one frame but one."""
    here = new_map(KIND_BYTES, {b"a": b"b"})
    there = new_map(KIND_BYTES, {b"%d" % i: bytes(2000) for i in range(60)})
    one, other = Session(here, TARGET, True, window=65536), Session(there, SOURCE, False)
    other.receive(one.outgoing())
    one.receive(other.outgoing()[:96] + frame(SLICE, b"\0\0" + digest_bytes(other.whole)) + frame(ASK, b"\0\0") + frame(TURN))
    one.outgoing()
    data = b"".join(map(other._record, other.sorted.entries))
    one.receive(frame(DATA, data[:20000]))
    same(one.outgoing(), b"")
    one.receive(frame(DATA, data[20000:32768]))
    same(one.outgoing(), frame(GRANT, varint(32768)))
    one.receive(frame(DATA, data[32768:65535]))
    same(one.outgoing(), b"")
    refused(one, frame(DATA, data[65535:65535 + 32770]))


# Sessions with a program

class Program:
    """The other program in a directory of its own, with its file; it serves or joins."""

    def __init__(self, options, command, role, items, patience):
        self.patience = patience
        self.directory = tempfile.TemporaryDirectory()
        self.address, self.file = (os.path.join(self.directory.name, name) for name in ("socket", "file"))
        write_items(self.file, items)
        self.listener = None
        if command == "join":
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.address)
            self.listener.listen(1)
            self.listener.settimeout(30)
        self.process = subprocess.Popen([options.program, command, self.address, self.file, NAMES[role]], stderr=subprocess.PIPE)

    def __enter__(self):
        self.sock = self.listener.accept()[0] if self.listener else mapdiff.open_socket("join", self.address)
        self.sock.settimeout(self.patience)
        return self

    def __exit__(self, *_):
        self.sock.close()
        if self.listener:
            self.listener.close()
        try:
            self.said = self.process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.items = read_items(self.file)
        self.directory.cleanup()


def write_items(path, items):
    with open(path, "wb") as file:
        file.writelines(key + b"=" + value + b"\n" for key, value in items.items())


def read_items(path):
    with open(path, "rb") as file:
        return dict(line.rstrip(b"\n").split(b"=", 1) for line in file)


def lines(chance, count):
    """Items for a file."""
    return {b"key %d" % chance.randrange(2 * count): b"%d" % chance.randrange(1000) for _ in range(count)}


def program_maps(chance, count, share):
    here = lines(chance, count)
    there = {key: value if chance.random() > share / 2 else b"%d" % chance.randrange(1000) for key, value in here.items()
             if chance.random() > share / 2}
    there.update(lines(chance, int(count * share)))
    return here, there


def meet(options, here, there, roles, program_opens, kind_of=Session, spoil=None, patience=30, **settings):
    """A session here, with the program that has `there`; roles are ours, and its. Returns the session and the ended program. Of two that
    wait for each other we are the one who has no more patience."""
    session = kind_of(new_map(KIND_BYTES, here, mapdiff.SEED, mapdiff.DIGEST_KEY), roles[0], not program_opens, **settings)
    if spoil:
        outgoing = session.outgoing

        def spoilt():
            data = outgoing()
            return bytes(spoil(0, data)) if data else data
        session.outgoing = spoilt
    with Program(options, "join" if program_opens else "serve", roles[1], there, patience) as program:
        try:
            mapdiff.run(session, program.sock)
        except (mapdiff.MapdiffError, OSError) as error:
            session.error = error
    return session, program


def program_test(roles, program_opens):
    def test(options):
        chance = random.Random(f"{roles} {program_opens}")
        for round_ in range(4 if options.quick else 15):
            here, there = program_maps(chance, chance.choice((1, 30, 300, 1000)), chance.choice((0, .02, .3, 1)))
            if round_ < 2:
                (here, there)[round_].clear()
            settings = {"window": chance.choice((65536, 1 << 20)), "slice_": chance.choice((256, 1 << 20)), "manner": Whim(chance),
                        "start": chance.choice((0, chance.getrandbits(64)))}
            session, program = meet(options, here, there, roles, program_opens, **settings)
            check(session.done and program.process.returncode == 0, session.error, program.said)
            items = expected(here, there, roles[0])
            same(session.map.items(), items)
            same(program.items, items)
    return test


def program_again_test(roles, program_opens):
    """Three passes of each slice fail, by what we say or by what we leave out; then, all eight do."""
    def test(options):
        chance = random.Random(f"{roles} {program_opens} again")
        here, there = program_maps(chance, 700, .3)
        items = expected(here, there, roles[0])
        session, program = meet(options, here, there, roles, program_opens, Liar, slice_=256)
        check(session.done and program.process.returncode == 0, session.error, program.said)
        same(session.passes, 4 << session.slice_bits)
        same((session.map.items(), program.items), (items, items))
        hopeless = type("Hopeless", (Liar,), {"lies": 8})
        session, program = meet(options, here, there, roles, program_opens, hopeless)
        check(session.error and program.process.returncode, session.error, program.said)
        same(session.passes, 8)
        same((session.map.items(), program.items), (here, there))
    return test


def program_window_test(roles, program_opens):
    def test(options):
        chance = random.Random(f"{roles} {program_opens} window")
        here, there = ({b"%d" % i: b"%x" % chance.getrandbits(16000) for i in range(first, first + 100)} for first in (0, 70))
        session, program = meet(options, here, there, roles, program_opens, window=65536)
        check(session.done and program.process.returncode == 0, session.error, program.said)
        items = expected(here, there, roles[0])
        same((session.map.items(), program.items), (items, items))
    return test


def program_spoilt_test(roles, spoiler):
    """What the program hears is not always what we say: it ends with an error, and its file as before or as after, or is right."""
    def test(options):
        chance = random.Random(f"{roles} spoilt")
        errors = fine = 0
        for _ in range(8 if options.quick else 60):
            here, there = program_maps(chance, chance.choice((3, 30, 100)), 1)
            items = expected(here, there, roles[0])
            session, program = meet(options, here, there, roles, chance.random() < .5, spoil=spoiler(chance, .3), patience=.5)
            if program.process.returncode:
                errors += 1
                check(program.items in (there, items), program.said)
            else:
                fine += 1
                same(program.items, items)
                check(session.error or session.map.items() == items)
        check(errors, fine)
    return test


def instead(kind, *frames, keep=0):
    """For Odd: these frames (type, payload) in place of the first of this type, or with keep 1 behind it, with -1 before it."""
    def odd(said, payload):
        if said != kind:
            return ((said, payload),)
        own = ((kind, payload),) if keep else ()
        return (*own, *frames) if keep > 0 else (*frames, *own)
    return odd


def altered(kind, alter):
    """For Odd: another payload."""
    return lambda said, payload: ((said, alter(payload) if said == kind else payload),)


class Odd(Session):
    """Who says something odd."""
    odd = None

    def _say(self, kind, payload=b""):
        for one in (self.odd(kind, payload) if kind != BYE else ((kind, payload),)):
            super()._say(*one)


FROM_GIVER = [
    instead(SLICE), altered(SLICE, lambda p: b"\1" + p[1:]), altered(SLICE, lambda p: p[:1] + b"\1" + p[2:]),
    altered(SLICE, lambda p: p[:2] + bytes(24)), altered(SLICE, lambda p: p + b"\0"), altered(SLICE, lambda p: p[:-1]),
    altered(SLICE, lambda p: b"\x80" + p), instead(SLICE, (SLICE, bytes(26)), keep=1),
    instead(ASK, (CHECKS, b"\0\0\0" + bytes(4))), instead(ASK, (CHECKS, b"\0\x0d\0" + bytes(4 << 13))), instead(ASK, (CHECKS, b"\0\1")),
    instead(ASK, (ASK, b"")), instead(ASK, (ASK, b"\0")), instead(ASK, (ASK, b"\0\1")), instead(ASK, (ASK, b"\x41\0")),
    instead(ASK, (ASK, b"\0\x80\0")), instead(ASK, (ASK, b"\0\0"), keep=1), instead(ASK, (EMPTY, b"\0\0"), keep=1),
    instead(ASK, (CHECKS, b"\0\1\0" + bytes(8)), keep=1), instead(ASK, (LIST, b"\0\0\0"), keep=1), instead(ASK, (DATA, b"\0\0"), keep=1),
    instead(ASK, (GRANT, b"\0"), keep=1), instead(ASK, (GRANT, b"\1"), keep=1), instead(ASK, (0, b""), keep=1),
    instead(ASK, (13, b""), keep=1),
    instead(TURN, (TURN, b"\0")), instead(TURN, (AGAIN, b"")), instead(TURN, (CLOSED, bytes(24))), instead(TURN, (CLOSE, bytes(24))),
    instead(DATA), instead(DATA, (DATA, b""), keep=-1), instead(DATA, (ASK, b"\0\0"), keep=1), altered(DATA, lambda p: p + b"\0"),
    altered(DATA, lambda p: p[:-1]), altered(DATA, lambda p: p + p), altered(DATA, lambda p: b"\x80\0" + p),
    altered(DATA, lambda p: varint((1 << 31) + 1) + p), altered(DATA, lambda p: b"\1" + varint(1 << 31) + p)]
FROM_LISTER = [
    instead(SLICE), instead(LIST), instead(LIST, (LIST, b"\0\0\0"), keep=1), altered(LIST, lambda p: p[:-1]),
    instead(LIST, (LIST, b"\0\0" + varint(8193) + bytes(4 * 8193))), instead(LIST, (ASK, b"\0\0"), keep=1),
    instead(LIST, (EMPTY, b"\0\0"), keep=1), instead(TURN, (CLOSE, bytes(24))), instead(TURN, (AGAIN, b"")),
    instead(TURN, (CLOSED, bytes(24))), instead(CLOSE, (TURN, b"")), instead(CLOSE, (CLOSED, bytes(24))),
    altered(CLOSE, lambda p: p + b"\0"), altered(CLOSE, lambda p: p[:-1]),
    altered(CLOSE, lambda p: bytes((p[0] ^ 1,)) + p[1:]), altered(CLOSE, lambda p: p[:16] + bytes(8)),
    instead(CLOSE, (GRANT, varint(1000)), keep=-1)]
REPLIES = [instead(DATA), altered(DATA, lambda p: p + b"\0"), altered(DATA, lambda p: p[:-1]), instead(CLOSE, (AGAIN, b""))]


def program_refuses_test(roles, odds):
    """The program says BYE 5, and its file is as it was."""
    def test(options):
        here, there = {b"a": b"1", b"b": b"9", b"c": b"3"}, {b"a": b"1", b"b": b"5", b"d": b"4"}
        for number, odd in enumerate(odds):
            kind_of = type("Oddity", (Odd,), {"odd": staticmethod(odd)})
            session, program = meet(options, here, there, roles, roles[0] == SOURCE, kind_of, patience=5)
            check(isinstance(session.error, mapdiff.Ended) and session.error.why == 5 and program.process.returncode, number, session.error,
                  program.said)
            same(program.items, there, number)
    return test


def test_program_and_program(options):
    """mapdiff.py as a program with the other: all pairs of roles, both ways."""
    ours = [sys.executable, mapdiff.__file__]
    chance = random.Random(5)
    for roles in PAIRS:
        for serves, joins in ((ours, [options.program]), ([options.program], ours)):
            here, there = program_maps(chance, 500, .3)
            with tempfile.TemporaryDirectory() as directory:
                address, one, other = (os.path.join(directory, name) for name in ("socket", "one", "other"))
                write_items(one, here)
                write_items(other, there)
                server = subprocess.Popen([*serves, "serve", address, one, NAMES[roles[0]]], stderr=subprocess.DEVNULL)
                joiner = subprocess.run([*joins, "join", address, other, NAMES[roles[1]]], stderr=subprocess.DEVNULL, timeout=30,
                                        check=False)
                same((server.wait(30), joiner.returncode), (0, 0))
                items = expected(here, there, roles[0])
                same((read_items(one), read_items(other)), (items, items))


# All of them

def all_tests(options):
    yield "hashes, digests, checks", test_hashes
    for name in VECTORS:
        yield f"the vector: {name}", vector_test(name)
    yield "equal maps", test_equal
    yield "values made of both", test_merged
    for kind, kind_name in KINDS.items():
        for roles in PAIRS:
            what = f"{kind_name}, {NAMES[roles[0]]} opens to {NAMES[roles[1]]}"
            yield f"random maps: {what}", random_test(kind, roles)
            yield f"random maps, weak checks: {what}", random_test(kind, roles, Weak)
            yield f"flipped bits: {what}", spoilt_test(kind, roles, flipped)
            yield f"moved frames: {what}", spoilt_test(kind, roles, moved_frames)
    yield "eight passes that fail", test_hopeless
    yield "more than a window", test_window
    yield "a session resumed", test_resumed
    yield "many entries", test_speed
    yield "every prefix", test_truncated
    yield "a hello that is refused", test_hello
    yield "a giver that is refused", test_giver_refused
    yield "an answer that is refused", test_answer_refused
    yield "a lister that is refused", test_lister_refused
    yield "late frames that are refused", test_late_refused
    yield "DATA beyond the window", test_beyond_window
    if options.program:
        for roles in PAIRS:
            for opens in (False, True):
                what = f"{NAMES[roles[0]]} {'is joined by' if opens else 'opens to'} the program, {NAMES[roles[1]]}"
                yield f"random maps: {what}", program_test(roles, opens)
                yield f"passes that fail: {what}", program_again_test(roles, opens)
                yield f"more than a window: {what}", program_window_test(roles, opens)
            what = f"the program, {NAMES[roles[1]]}"
            yield f"flipped bits for {what}", program_spoilt_test(roles, flipped)
            yield f"moved frames for {what}", program_spoilt_test(roles, moved_frames)
        yield "what the program, target, refuses", program_refuses_test((SOURCE, TARGET), FROM_GIVER)
        yield "what the program, source, refuses", program_refuses_test((TARGET, SOURCE), FROM_LISTER)
        yield "what the program, both, refuses", program_refuses_test((BOTH, BOTH), FROM_LISTER[:10] + REPLIES)
        yield "mapdiff.py and the program", test_program_and_program


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", metavar="PATH", help="another implementation to talk to")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    parser.add_argument("--only", metavar="WORD", default="", help="tests whose name has this")
    options = parser.parse_args()
    if options.program:
        options.program = os.path.abspath(options.program)
    tests = [(name, test) for name, test in all_tests(options) if options.only in name]
    print(f"1..{len(tests)}")
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        began = time.perf_counter()
        try:
            test(options)
            print(f"ok {number} - {name}\n# {time.perf_counter() - began:.2f} s", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
