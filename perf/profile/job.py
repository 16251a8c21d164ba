# SPDX-License-Identifier: ISC
"""What is profiled, and running it."""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / 'build-profile'


class Skipped(Exception):
    """A kind of profile that cannot be made here, and why. The others still can."""


class Failed(Exception):
    """The program that was to be profiled failed."""


class Job:
    def __init__(self, settings, about, command, counted_command):
        self.settings = settings
        self.command = command                  # what is run for a kind that is measured in time
        self.counted_command = counted_command  # and for one that counts instructions: the same for a program
        self.about, self.counted_about = (shlex.join([about] + words[1:]) for words in (command, counted_command))
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix='soma-profile-'))

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


def say(text):
    print(f'perf/profile/run: {text}', file=sys.stderr, flush=True)


def quiet_output(result):
    """The end of what a command had to say."""
    lines = ((result.stderr or '') + (result.stdout or '')).strip().splitlines()
    return lines[-1].strip() if lines else f'status {result.returncode}'


def run_program(command, settings, env=None, what='the program'):
    """Runs what is profiled, with its output where it goes by itself (standard output: to standard error)."""
    try:
        status = subprocess.run(command, env=dict(os.environ, **(env or {})), stdout=sys.stderr, check=False,
                                timeout=settings.timeout).returncode
    except subprocess.TimeoutExpired:
        raise Skipped(f'{what} did not end within {settings.timeout} s (--timeout)') from None
    except OSError as error:
        raise Failed(f'cannot run {command[0]}: {error.strerror}') from None
    if status != 0:
        raise Failed(f'{what} ended with status {status}')


def tool(name, package):
    if not shutil.which(name):
        raise Skipped(f'there is no {name} (Debian: {package})')
    return name


def tool_output(*command):
    """What a tool says; Skipped with its last line if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, errors='replace', check=False)
    if result.returncode != 0:
        raise Skipped(f'{" ".join(map(str, command[:2]))}: {quiet_output(result)}')
    return result.stdout
