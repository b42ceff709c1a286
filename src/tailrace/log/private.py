"""Files and folders that only their owner can read, whatever the umask is: created so, and narrowed if an
earlier version left them open.

A file has its mode from its first byte on; SQLite gives the files beside a database the database's own mode.
A folder is narrowed only if all its files are ours: a data folder that is a home folder by mistake, or that
has other files, is not changed, and the server logs it. The same holds for files of another user.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

FOLDER = 0o700
FILE = 0o600
_OTHERS = 0o077


def make_folder(folder: Path) -> None:
    """Make the folder if it does not exist; folders above it get the usual mode. Raises `OSError`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(FOLDER)  # the umask may have cleared bits


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a file, which is made if `flags` say so and it does not exist. Raises `OSError`."""
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, FILE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return os.open(path, flags & ~os.O_CREAT)
    os.fchmod(descriptor, FILE)  # the umask may have cleared bits
    return descriptor


def append_to(path: Path) -> IO[bytes]:
    """A file for appending, made if it does not exist. Raises `OSError`."""
    return os.fdopen(open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def narrow(folder: Path, ours: Collection[str]) -> Sequence[str]:
    """Remove the rights of others from the folder and from the files in it named in `ours`; returns a
    sentence for each place that was open, also for one that cannot be narrowed."""
    files = [result for name in sorted(ours) for result in narrow_file(folder / name)]
    return [*files, *_narrow_folder(folder, ours)]


def narrow_file(path: Path) -> Sequence[str]:
    """The same for one file."""
    mode = _mode(path)
    return [_change(path, mode, mode & FILE)] if mode & _OTHERS else []


def open_to_others(folder: Path, ours: Collection[str]) -> Sequence[str]:
    """A sentence for each place that others can read; changes nothing."""
    places = [folder, *(folder / name for name in sorted(ours))]
    return [
        f"{path} can be opened by others (mode {mode:o})"
        for path in places
        if (mode := _mode(path)) & _OTHERS
    ]


def _narrow_folder(folder: Path, ours: Collection[str]) -> Sequence[str]:
    mode = _mode(folder)
    if not mode & _OTHERS:
        return ()
    if set(os.listdir(folder)) - set(ours) or folder.resolve() in _shared_places():
        return [
            f"{folder} can be opened by others (mode {mode:o}) and is not for runs alone: it stays as it is"
        ]
    return [_change(folder, mode, mode & FOLDER)]


def _change(path: Path, before: int, after: int) -> str:
    if path.stat().st_uid != os.geteuid():
        return f"{path} can be opened by others (mode {before:o}) and belongs to another user"
    try:
        path.chmod(after)
    except OSError as error:
        return f"{path} can be opened by others (mode {before:o}): {error.strerror}"
    return f"{path} could be opened by others (mode {before:o}); its mode is {after:o} now"


def _shared_places() -> set[Path]:
    """Folders that cannot be a data folder, even if they are empty."""
    homes = {Path(entry.pw_dir) for entry in pwd.getpwall()}
    return {Path("/"), Path.home(), Path.cwd(), *homes}


def _mode(path: Path) -> int:
    """The permissions of a file or folder; none if it does not exist or is a link."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return 0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
