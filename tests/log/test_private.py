"""With any umask, only the owner can read stored data; permissions of files that are not ours stay
unchanged."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tailrace.cli.serving import AuditFile
from tailrace.log import private
from tailrace.log.stores.sqlite.records import side_records
from tailrace.log.stores.sqlite.schema import FILE, FILES
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import ENDED, append

UMASKS = [0o000, 0o022, 0o077, 0o777]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def modes(folder: Path) -> dict[str, int]:
    return {".": mode(folder), **{path.name: mode(path) for path in folder.iterdir()}}


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Generator[None, None, None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
async def test_a_running_store_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = SqliteStore(folder)
    await store.open()
    await append(store, "run", ENDED)
    seen = modes(folder)
    await store.close()
    assert {".", FILE, f"{FILE}-wal", f"{FILE}-shm", "lock"} == set(seen)
    assert seen.pop(".") == 0o700
    assert set(seen.values()) == {0o600}
    assert set(modes(folder).values()) == {0o700, 0o600}


@pytest.mark.usefixtures("umask")
async def test_a_command_beside_the_server_makes_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await side_records(folder).put("tokens", "key", b"{}")
    seen = modes(folder)
    assert seen.pop(".") == 0o700
    assert set(seen.values()) == {0o600}


@pytest.mark.usefixtures("umask")
def test_a_file_that_is_added_to_is_its_owners_alone(tmp_path: Path) -> None:
    with private.append_to(tmp_path / "audit") as file:
        assert os.fstat(file.fileno()).st_mode & 0o7777 == 0o600
    with private.append_to(tmp_path / "audit") as file:
        file.write(b"again")
    assert mode(tmp_path / "audit") == 0o600


async def test_the_rights_of_an_earlier_versions_folder_are_narrowed_with_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    for _ in range(2):
        store = SqliteStore(folder)
        await store.open()
        await store.close()
        if not caplog.messages:
            folder.chmod(0o755)
            for path in folder.iterdir():
                path.chmod(0o644)
            assert len(private.open_to_others(folder, FILES)) == 3
    assert modes(folder) == {".": 0o700, FILE: 0o600, "lock": 0o600}
    assert len([line for line in caplog.messages if "could be opened by others" in line]) == 3


async def test_a_folder_that_holds_other_things_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "home"
    folder.mkdir(0o755)
    folder.chmod(0o755)
    (folder / "letter.txt").write_text("mine", encoding="utf-8")
    (folder / "letter.txt").chmod(0o644)
    store = SqliteStore(folder)
    await store.open()
    await store.close()
    assert (mode(folder), mode(folder / "letter.txt")) == (0o755, 0o644)
    assert mode(folder / FILE) == 0o600
    assert "is not for runs alone" in caplog.text


@pytest.mark.parametrize("which", ["HOME", "cwd"])
def test_a_home_or_working_folder_stays_as_it_is_though_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    tmp_path.chmod(0o755)
    if which == "HOME":
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        monkeypatch.chdir(tmp_path)
    (said,) = private.narrow(tmp_path, FILES)
    assert "stays as it is" in said
    assert mode(tmp_path) == 0o755


def test_what_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("not ours", encoding="utf-8")
    other.chmod(0o644)
    folder = tmp_path / "data"
    private.make_folder(folder)
    (folder / FILE).symlink_to(other)
    assert not private.narrow(folder, FILES)
    assert mode(other) == 0o644


def test_rights_are_taken_away_and_none_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    private.make_folder(folder)
    (folder / "lock").touch(0o444)
    (folder / "lock").chmod(0o444)
    private.narrow(folder, FILES)
    assert mode(folder / "lock") == 0o400


@pytest.mark.usefixtures("umask")
def test_the_audit_file_is_its_owners_alone_also_after_it_was_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("earlier\n", encoding="utf-8")
    path.chmod(0o644)
    handler = AuditFile(path, encoding="utf-8")
    assert mode(path) == 0o600
    path.rename(tmp_path / "audit.1")
    handler.emit(logging.makeLogRecord({"msg": "a line"}))
    handler.close()
    assert mode(path) == 0o600
    assert path.read_text(encoding="utf-8") == "a line\n"
    assert (tmp_path / "audit.1").read_text(encoding="utf-8") == "earlier\n"
