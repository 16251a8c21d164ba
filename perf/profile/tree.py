# SPDX-License-Identifier: ISC
"""Stacks put together to a tree, and the colours of its frames."""
import colorsys
import zlib

NEUTRAL = '#e4e0dc'


class Node:
    """A frame: how much ran in it or under it, now and before (0 if there is no before)."""

    __slots__ = ('name', 'value', 'before', 'children')

    def __init__(self, name):
        self.name, self.value, self.before, self.children = name, 0, 0.0, {}

    def child(self, name):
        node = self.children.get(name)
        if node is None:
            node = self.children[name] = Node(name)
        return node

    def ordered(self):
        return [self.children[name] for name in sorted(self.children)]


def grow(stacks, before=None):
    """The tree of {stack: number}; with `before`, another such, as large as this one after scaling."""
    root = Node('all')
    for frames, value in stacks.items():
        node = root
        node.value += value
        for name in frames:
            node = node.child(name)
            node.value += value
    total_before = sum((before or {}).values())
    scale = root.value / total_before if total_before else 0
    if total_before == root.value:
        scale = 1  # so that a profile beside itself shows no difference at all
    for frames, value in (before or {}).items():
        node = root
        node.before += value * scale
        for name in frames:
            node = node.child(name)
            node.before += value * scale
    return root


def walk(root):
    """All nodes with their depth."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in node.ordered()]


def depth_of(root):
    return max(depth for _, depth in walk(root)) + 1


def hex_colour(hue, lightness, saturation):
    return '#' + ''.join(f'{round(part * 255):02x}' for part in colorsys.hls_to_rgb(hue, lightness, saturation))


def warm_colour(name):
    """Of a name, always the same: between red and yellow. Names with a common beginning are close."""
    family = zlib.crc32(name[:8].encode()) % 1000 / 1000
    member = zlib.crc32(name.encode()) % 1000 / 1000
    hue = (4 + 40 * family + 8 * member) / 360
    return hex_colour(hue, 0.60 + 0.12 * member, 0.82 + 0.14 * family)


def change_of(node):
    return node.value - node.before


def greatest_change(root):
    return max(abs(change_of(node)) for node, _ in walk(root))


def change_colour(node, greatest):
    """Red for more than before, blue for less, the stronger the larger a part of the greatest change."""
    change = change_of(node)
    if greatest <= 0 or abs(change) < 1e-9 * max(node.value, 1):
        return NEUTRAL
    strength = (abs(change) / greatest) ** 0.5
    return hex_colour(5 / 360 if change > 0 else 214 / 360, 0.90 - 0.32 * strength, 0.90)


def colour_fn(root, is_diff):
    if not is_diff:
        return lambda node: '#c9bfb5' if node is root else warm_colour(node.name)
    greatest = greatest_change(root)
    return lambda node: change_colour(node, greatest)


# ---- Texts ----

def amount(value, unit):
    value = round(value)
    if unit == 'bytes':
        for name, size in (('GiB', 1 << 30), ('MiB', 1 << 20), ('KiB', 1 << 10)):
            if abs(value) >= size:
                return f'{value / size:.1f} {name}'
        return f'{value} bytes'
    if unit == 'nanoseconds':
        return f'{value / 1e9:.3f} s' if abs(value) >= 10**9 else f'{value / 1e6:.1f} ms'
    return f'{value:,}'


def percent(part, whole):
    return f'{100 * part / whole:.2f} %' if whole else '0 %'


def tip(node, root, unit, is_diff):
    now = f'{amount(node.value, unit)}, {percent(node.value, root.value)}'
    if not is_diff:
        return f'{node.name} ({now})'
    points = 100 * change_of(node) / root.value if root.value else 0
    return f'{node.name} (after {now}; before {percent(node.before, root.value)}; {points:+.2f} points)'
