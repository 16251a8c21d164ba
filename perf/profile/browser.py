# SPDX-License-Identifier: ISC
"""Pages as a browser shows them: the document after its scripts have run, and the picture. For perf/profile/check."""
import pathlib
import shutil
import struct
import subprocess
import zlib

CHANNELS = {2: 3, 6: 4}  # PNG colour types: RGB, RGBA


def address(path, fragment):
    """A page's: of a file, or as it is."""
    return (path if isinstance(path, str) else path.resolve().as_uri()) + fragment


class Browser:
    def __init__(self, scratch, *more):
        self.more = more
        self.program = shutil.which('chromium') or shutil.which('chromium-browser')
        self.scratch = pathlib.Path(scratch)

    def _run(self, *words):
        command = [self.program, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
                   f'--user-data-dir={self.scratch / "chromium"}', *words]
        return subprocess.run(command, capture_output=True, text=True, errors='replace', check=False, timeout=120).stdout

    def document(self, path, fragment=''):
        """The document's text once its scripts have run."""
        return self._run('--window-size=1280,900', '--dump-dom', *self.more, address(path, fragment))

    def screenshot(self, path, picture, fragment='', dark=False):
        picture.unlink(missing_ok=True)
        self._run('--window-size=1280,900', f'--screenshot={picture}', *(['--force-dark-mode'] if dark else []),
                  *self.more, address(path, fragment))
        return read_png(picture)


def unfilter(kind, line, above, step):
    """A line of a PNG without the filter that it was written with."""
    for i in range(len(line)):
        left = line[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            line[i] = (line[i] + left) & 255
        elif kind == 2:
            line[i] = (line[i] + above[i]) & 255
        elif kind == 3:
            line[i] = (line[i] + (left + above[i]) // 2) & 255
        elif kind == 4:
            guess = left + above[i] - corner
            line[i] = (line[i] + min((left, above[i], corner), key=lambda near: abs(guess - near))) & 255
    return line


def read_png(path):
    """The pixels: lines of (red, green, blue)."""
    data = path.read_bytes()
    at, packed, header = 8, b'', None
    while at < len(data):
        size, kind = struct.unpack('>I4s', data[at:at + 8])
        if kind == b'IHDR':
            header = struct.unpack('>IIBBBBB', data[at + 8:at + 8 + size])
        elif kind == b'IDAT':
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    width, height, _, colour = header[:4]
    step = CHANNELS[colour]
    raw, above, lines = zlib.decompress(packed), bytes(width * step), []
    for y in range(height):
        start = y * (width * step + 1)
        line = unfilter(raw[start], bytearray(raw[start + 1:start + 1 + width * step]), above, step)
        lines.append([tuple(line[x:x + 3]) for x in range(0, width * step, step)])
        above = line
    return lines


def is_warm(pixel):
    red, green, blue = pixel
    return red > 200 and red - blue > 50 and red >= green


def is_cool(pixel):
    red, _, blue = pixel
    return blue > 200 and blue - red > 50


def share(lines, test):
    """The part of the pixels that pass a test."""
    return sum(test(pixel) for line in lines for pixel in line) / (len(lines) * len(lines[0]))
