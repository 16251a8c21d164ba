# SPDX-License-Identifier: ISC
"""Installing what is missing and building what is preloaded and run, as perf/support/build.sh does for the others."""
import os
import shutil
import subprocess

from job import BUILD, ROOT, quiet_output, say

PACKAGES = ['meson', 'ninja-build', 'gcc', 'libc6-dev', 'pkg-config', 'liburcu-dev', 'libjemalloc-dev',
            'systemtap-sdt-dev', 'binutils']
PACKAGES_OF_KIND = {'cpu': ['linux-perf'], 'alloc': [], 'contention': ['linux-perf'], 'instructions': ['valgrind']}


def installed(package):
    said = subprocess.run(['dpkg-query', '-W', '-f=${db:Status-Status}', package], capture_output=True, text=True,
                          check=False).stdout
    return said == 'installed'


def install(packages):
    """Whether all are there afterwards; says what is wrong if not."""
    if not shutil.which('dpkg-query'):
        return True  # not a Debian: what lacks a tool will say so
    missing = [package for package in packages if not installed(package)]
    if not missing:
        return True
    root = [] if os.geteuid() == 0 else ['sudo', '-n']
    say(f'installing {" ".join(missing)}')
    for words in (['apt-get', 'update'], ['apt-get', 'install', '-y', '--no-install-recommends'] + missing):
        try:
            result = subprocess.run(root + ['env', 'DEBIAN_FRONTEND=noninteractive'] + words, capture_output=True,
                                    text=True, check=False)
        except OSError:
            result = None
        if result is None or result.returncode != 0:
            say(f'cannot install {" ".join(missing)}: {quiet_output(result) if result else "needs root"}')
            return False
    return True


def run_quietly(words):
    try:
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        return f'{words[0]}: {error.strerror}'
    return None if result.returncode == 0 else quiet_output(result)


def build():
    """None if the workload and the preloaded libraries are built, else why not."""
    setup = ['meson', 'setup', str(BUILD), str(ROOT), '--buildtype=release', '-Ddebug=true', '-Dtests=disabled',
             '-Dc_args=-fno-omit-frame-pointer', '-Dusdt=auto', '-Dprofile=enabled']
    config = BUILD / 'lib' / 'soma_config.h'
    if not (BUILD / 'build.ninja').exists():
        say(f'building in {BUILD}')
        wrong = run_quietly(setup)
    elif config.exists() and '#define HAVE_USDT' not in config.read_text():
        wrong = run_quietly(setup + ['--wipe'])  # sys/sdt.h may be there by now
    else:
        wrong = None
    return wrong or run_quietly(['ninja', '-C', str(BUILD)])


def label():
    """The build by its commit."""
    said = subprocess.run(['git', '-C', str(ROOT), 'describe', '--always', '--dirty'], capture_output=True, text=True,
                          check=False).stdout.strip()
    return said or 'unnamed'
