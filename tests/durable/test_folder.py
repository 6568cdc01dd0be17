"""What is on disk: a snapshot is whole, or it is not used; nothing else is touched."""

import errno
import hashlib
import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.faults import at_file_operation, raise_
from helpers.logs import lines_of, logged
from helpers.training import killed, listing, train, undisturbed
from rnnr import RnnrWarning
from rnnr.durable._folder import ARRAYS, MANIFEST, Folder, Name, Snapshot, Status

CHUNKS: list[bytes | memoryview] = [b"header", memoryview(bytes(range(200)))]


def written(folder: Path, name: str = "000000004-0001-B") -> Path:
    """Write a snapshot that holds nothing of a run."""
    if not folder.exists():
        folder.mkdir()
    parsed = Name.parse(name)
    assert parsed
    return Folder(folder).write(parsed, {"format": 1, "name": name}, CHUNKS)[0]


def inspected(folder: Path) -> Snapshot:
    """Return the newest snapshot, verified."""
    return Folder(folder).snapshots()[0].verified()


def change_byte(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def seal(path: Path, manifest: object) -> None:
    """Write a manifest with a seal that is right."""
    line = json.dumps(manifest).encode()
    sum_ = hashlib.sha256(line).hexdigest().encode()
    (path / MANIFEST).write_bytes(line + b"\n" + sum_ + b"\n")


def resealed(path: Path, **changes: Any) -> None:
    """Change a manifest, and seal it again."""
    line = (path / MANIFEST).read_bytes().partition(b"\n")[0]
    seal(path, {**json.loads(line), **changes})


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [Name(0, 0, "S"), Name(7, 1, "B"), Name(10**9, 10**4, "E"), Name(10**240, 2, "F")],
        ids=str,
    )
    def test_a_name_is_read_as_it_was_written(self, name: Name) -> None:
        assert Name.parse(str(name)) == name

    @pytest.mark.parametrize(
        "text",
        [
            "00000007-0001-B",  # too short
            "0000000007-0001-B",  # a zero too many
            "000000007-00001-B",
            "000000007-0001-X",
            "000000007-0001-B.bak",
            "000000007-0001-B\n",
            "-00000007-0001-B",
            "00000000\N{ARABIC-INDIC DIGIT SEVEN}-0001-B",
            "+00000007-0001-B",
            ".lock",
            "",
        ],
    )
    def test_another_name_is_not_a_snapshot(self, text: str) -> None:
        assert Name.parse(text) is None

    def test_the_newest_is_the_newest_by_number(self, tmp_path: Path) -> None:
        names = [
            *("000000000-0000-S", "999999999-9999-B", "1000000000-9999-B", "1000000000-9999-E"),
            *("1000000000-9999-F", "1000000000-10000-B", "1000000000-10000-E"),
        ]
        for i, name in enumerate(reversed(names)):  # which a copy may do
            os.utime(written(tmp_path, name), (i, i))
        found = [snapshot.path.name for snapshot in Folder(tmp_path).snapshots()]
        assert found == [*reversed(names)]


class TestWriting:
    def test_data_come_first_and_the_seal_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        story: list[str] = []
        fsync = os.fsync

        def flush(fd: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            found = sorted(one.name for one in tmp_path.rglob("*"))
            story.append(f"{path.relative_to(tmp_path)}: {len(found)}")
            fsync(fd)

        monkeypatch.setattr(os, "fsync", flush)
        path = written(tmp_path / "run")
        inside = f"run/{path.name}"
        assert story == [
            f"{inside}/{ARRAYS}: 3",
            "run: 3",
            f"{inside}/{MANIFEST}: 4",
            f"{inside}: 4",
        ]

    def test_it_is_whole(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        found = inspected(tmp_path)
        assert found.status == Status.WHOLE
        assert found.path == path
        assert found.read() == b"header" + bytes(range(200))

    def test_one_of_the_same_name_is_replaced(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        change_byte(path / ARRAYS, 5, 1)
        assert written(tmp_path) == path
        assert inspected(tmp_path).status == Status.WHOLE

    @pytest.mark.parametrize("umask", [0o022, 0o027])
    def test_permissions_are_those_of_any_new_file(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            path = written(tmp_path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask
        for name in (ARRAYS, MANIFEST):
            assert stat.S_IMODE((path / name).stat().st_mode) == 0o666 & ~umask

    def test_a_disk_that_takes_a_little_at_a_time_gets_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from io import FileIO

        class Slow(FileIO):
            def write(self, data: Any) -> int:
                return super().write(memoryview(data)[:7])

        monkeypatch.setattr("rnnr.durable._folder.FileIO", Slow)
        written(tmp_path)
        assert inspected(tmp_path).status == Status.WHOLE

    def test_a_disk_that_takes_nothing_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from io import FileIO

        class Stuck(FileIO):
            def write(self, _: Any) -> int:
                return 0

        monkeypatch.setattr("rnnr.durable._folder.FileIO", Stuck)
        with pytest.raises(OSError, match="nothing was written"):
            written(tmp_path)
        assert listing(tmp_path) == {}

    def test_a_file_of_that_name_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "000000004-0001-B").write_text("mine")
        with pytest.raises(FileExistsError):
            written(tmp_path)
        assert (tmp_path / "000000004-0001-B").read_text() == "mine"

    def test_an_error_leaves_no_half_of_it(self, tmp_path: Path) -> None:
        written(tmp_path, "000000003-0001-B")
        before = listing(tmp_path)
        full = OSError(errno.ENOSPC, "full")
        for n in range(1, 12):
            with at_file_operation(n, lambda: raise_(full)), pytest.raises(OSError, match="full"):
                written(tmp_path)
            assert listing(tmp_path) == before
            assert [path.name for path in tmp_path.iterdir()] == ["000000003-0001-B"]
        with at_file_operation(12, lambda: raise_(full)) as done:
            written(tmp_path)
        assert done == [
            *("mkdir", "write", "write", "fsync", "fsync"),
            *("write", "write", "write", "write", "fsync", "fsync"),
        ]

    def test_an_error_of_the_removal_does_not_hide_the_first(self, tmp_path: Path) -> None:
        first = OSError(errno.ENOSPC, "full")
        errors = iter([first, *[OSError(errno.EIO, "broken")] * 9])
        later = ("unlink", "rmdir")
        with (
            at_file_operation(3, lambda: raise_(next(errors)), later=later),
            pytest.raises(OSError, match="full"),
        ):
            written(tmp_path)
        assert inspected(tmp_path).status == Status.FRAGMENT


class TestDamage:
    """Whatever happens to a file, the snapshot is not whole any more."""

    @pytest.mark.parametrize("name", [ARRAYS, MANIFEST])
    def test_a_file_that_is_cut(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path)
        data = (path / name).read_bytes()
        expected = Status.DAMAGED if name == ARRAYS else Status.FRAGMENT
        for size in range(len(data)):
            (path / name).write_bytes(data[:size])
            found = inspected(tmp_path)
            assert (size, found.status) == (size, expected)
            assert found.problem
        (path / name).write_bytes(data)
        assert inspected(tmp_path).status == Status.WHOLE

    @pytest.mark.parametrize("name", [ARRAYS, MANIFEST])
    def test_a_bit_that_has_changed(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path)
        for place in range((path / name).stat().st_size):
            change_byte(path / name, place, place % 8)
            assert (place, inspected(tmp_path).status) == (place, Status.DAMAGED)
            change_byte(path / name, place, place % 8)
        assert inspected(tmp_path).status == Status.WHOLE

    @pytest.mark.parametrize("name", [ARRAYS, MANIFEST])
    def test_bytes_that_were_added(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path)
        with open(path / name, "ab") as file:
            file.write(b"\0")
        assert inspected(tmp_path).status == Status.DAMAGED

    @pytest.mark.parametrize(
        ("name", "status"), [(ARRAYS, Status.DAMAGED), (MANIFEST, Status.FRAGMENT)]
    )
    def test_zeros_as_after_a_loss_of_power(self, tmp_path: Path, name: str, status: str) -> None:
        path = written(tmp_path)
        (path / name).write_bytes(bytes((path / name).stat().st_size))
        assert inspected(tmp_path).status == status

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        (path / ARRAYS).unlink()
        assert inspected(tmp_path).problem == f"{ARRAYS} is missing"
        (path / MANIFEST).unlink()
        assert inspected(tmp_path).status == Status.FRAGMENT

    def test_another_name(self, tmp_path: Path) -> None:
        written(tmp_path).rename(tmp_path / "000000009-0001-B")
        found = inspected(tmp_path)
        assert found.status == Status.DAMAGED
        assert found.problem == "it is the snapshot 000000004-0001-B, under another name"

    def test_another_format(self, tmp_path: Path) -> None:
        resealed(written(tmp_path), format=2)
        assert "format 2, which this version does not read" in inspected(tmp_path).problem

    @pytest.mark.parametrize(
        "manifest",
        [
            *(None, 3, "x", [], {}, {"name": "000000004-0001-B"}),
            {"name": "000000004-0001-B", "format": 1},
            {"name": "000000004-0001-B", "format": 1, "files": []},
            {"name": "000000004-0001-B", "format": 1, "files": {ARRAYS: None}},
            {"name": "000000004-0001-B", "format": 1, "files": {ARRAYS: {"bytes": 206}}},
            {"name": "000000004-0001-B", "format": 1, "files": {ARRAYS: {"bytes": 10**30}}},
            {"name": "000000004-0001-B", "format": 1, "files": {ARRAYS: {"bytes": "206"}}},
        ],
        ids=repr,
    )
    def test_a_manifest_that_no_version_has_written(self, tmp_path: Path, manifest: object) -> None:
        seal(written(tmp_path), manifest)
        found = inspected(tmp_path)
        assert found.status == Status.DAMAGED
        assert found.problem

    def test_a_manifest_that_is_not_json(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        for line in (b"", b"{", b"\xff", b"[" * 100_000, b"9" * 10_000):
            sum_ = hashlib.sha256(line).hexdigest().encode()
            (path / MANIFEST).write_bytes(line + b"\n" + sum_ + b"\n")
            assert inspected(tmp_path).status == Status.DAMAGED

    def test_a_sum_is_compared_when_the_arrays_are_read(self, tmp_path: Path) -> None:
        path = written(tmp_path)
        found = Folder(tmp_path).snapshots()[0]
        change_byte(path / ARRAYS, 0, 0)
        with pytest.raises(ValueError, match="has another SHA-256 sum than what was written"):
            found.read()
        (path / ARRAYS).write_bytes(b"cut")
        with pytest.raises(ValueError, match="does not have the 206 bytes that were written"):
            found.read()

    def test_a_file_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path)
        denied = PermissionError(errno.EACCES, "denied")
        monkeypatch.setattr(Path, "read_bytes", lambda _: raise_(denied))
        found = inspected(tmp_path)
        assert (found.status, found.problem) == (Status.DAMAGED, str(denied))


class TestHostileFolders:
    """Snapshots that are sealed as they should be, made to do harm."""

    @pytest.mark.parametrize("name", [ARRAYS, MANIFEST])
    def test_what_is_not_a_file_is_not_read(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path)
        for make in (os.mkfifo, os.mkdir, lambda it: os.symlink("/dev/zero", it)):
            os.rename(path / name, tmp_path / "aside")
            make(path / name)
            assert inspected(tmp_path).status == Status.DAMAGED
            shutil.rmtree(path)
            written(tmp_path)
            (tmp_path / "aside").unlink()

    def test_a_link_goes_but_not_what_it_points_to(self, tmp_path: Path) -> None:
        other = written(tmp_path / "other")
        mine = tmp_path / "mine"
        before = listing(tmp_path / "other")
        killed(mine, 3, at_most=1)
        (newest,) = mine.glob("0*")
        (mine / "000000000-0000-B").symlink_to(other)  # another name than the snapshot has
        (mine / "000000000-0000-F").symlink_to(tmp_path / "other")  # a fragment
        (newest / "more").symlink_to(other)
        train(mine, at_most=1).run()
        assert [path.name for path in mine.glob("0*")] == ["000000008-0002-F"]
        assert listing(tmp_path / "other") == before

    def test_files_that_the_manifest_names_are_not_touched(self, tmp_path: Path) -> None:
        killed(tmp_path / "run", 4)
        (tmp_path / "outside").write_text("mine")
        second = max((tmp_path / "run").glob("0*"))
        line = json.loads((second / MANIFEST).read_bytes().partition(b"\n")[0])
        others = {"../../outside": {"bytes": 4, "sha256": ""}, "/etc/passwd": {"bytes": 1}}
        resealed(second, files={**line["files"], **others})
        train(tmp_path / "run").run()
        assert (tmp_path / "outside").read_text() == "mine"

    @pytest.mark.parametrize("key", ["versions", "values", "saved_at"])
    def test_a_key_that_is_missing(self, tmp_path: Path, key: str) -> None:
        killed(tmp_path, 4)
        newest = max(tmp_path.glob("0*"))
        manifest = json.loads((newest / MANIFEST).read_bytes().partition(b"\n")[0])
        del manifest[key]
        seal(newest, manifest)
        with pytest.warns(RnnrWarning, match=f"damaged: .*'{key}'"):
            train(tmp_path).run()

    def test_other_names_stay(self, tmp_path: Path) -> None:
        killed(tmp_path, 4)
        names = ["000000001-0001-B.bak", "0000000001-0001-B", "notes"]
        for name in names:
            (tmp_path / name).mkdir()
        (tmp_path / "000000009-0001-E").write_text("a file with the name of a snapshot")
        (tmp_path / f"{10**240}-0001-X").mkdir()
        before = {path.name for path in tmp_path.iterdir() if Name.parse(path.name) is None}
        train(tmp_path).run()
        assert before <= {path.name for path in tmp_path.iterdir()}
        assert (tmp_path / "000000009-0001-E").read_text().startswith("a file")

    def test_a_huge_number_is_a_fragment_like_others(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "run", 4)
        (tmp_path / "run" / f"{10**240}-0001-B").mkdir()
        assert train(tmp_path / "run", seed=1).run().result == expected
        assert len([*(tmp_path / "run").iterdir()]) == 3  # two snapshots and the lock

    def test_thousands_of_entries_are_skipped(self, tmp_path: Path) -> None:
        for i in range(2000):
            (tmp_path / f"{i:09}.txt").touch()
        train(tmp_path).run()
        assert len([*tmp_path.iterdir()]) == 2003

    def test_the_lock_is_not_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "outside").write_text("mine")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").symlink_to(tmp_path / "outside")
        with pytest.raises(OSError, match=re.escape(".lock")):
            train(tmp_path / "run").run()
        assert (tmp_path / "outside").read_text() == "mine"


def cut(path: Path) -> None:
    (path / ARRAYS).write_bytes((path / ARRAYS).read_bytes()[:-1])


def flip(path: Path) -> None:
    change_byte(path / ARRAYS, random.Random(0).randrange(500, 1000), 3)


def flip_the_seal(path: Path) -> None:
    change_byte(path / MANIFEST, (path / MANIFEST).stat().st_size - 9, 0)


def lose(path: Path) -> None:
    (path / ARRAYS).unlink()


def empty(path: Path) -> None:
    (path / ARRAYS).write_bytes(b"")


def rename(path: Path) -> None:
    shutil.copytree(path, path.with_name("000000007-0002-B"))
    shutil.rmtree(path)


def forge(path: Path) -> None:
    resealed(path, values={"objects": [], "state": [["epoch", {"list": 3}]], "random_states": 0})


DAMAGES: dict[Callable[[Path], object], str] = {
    cut: f"{ARRAYS} has [0-9]+ bytes instead of [0-9]+",
    flip: f"{ARRAYS} has another SHA-256 sum than what was written",
    flip_the_seal: f"the seal of {MANIFEST} does not match",
    lose: f"{ARRAYS} is missing",
    empty: f"{ARRAYS} has 0 bytes instead of [0-9]+",
    rename: "it is the snapshot 000000005-0002-B, under another name",
    forge: "",
}
damages = pytest.mark.parametrize(
    ("damage", "reason"), DAMAGES.items(), ids=[damage.__name__ for damage in DAMAGES]
)


class TestRestartFromDamage:
    @damages
    def test_the_one_before_is_taken(
        self, tmp_path: Path, damage: Callable[[Path], object], reason: str
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        killed(folder, 6)
        newest = max(folder.glob("0*"))
        damage(newest)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            training = train(folder, seed=1).run()
        assert training.result == expected
        assert training.seen == [5, 6, 7, 8]
        (warning,) = caught
        assert warning.category is RnnrWarning
        assert re.search(f"{re.escape(str(folder))}.*damaged: {reason}", str(warning.message))
        assert warning.filename.endswith("training.py")  # which calls run
        assert len([*folder.glob("0*")]) == 2  # what was damaged is gone when there is a newer one

    @damages
    def test_nothing_is_begun_again_where_all_are_damaged(
        self, tmp_path: Path, damage: Callable[[Path], object], reason: str
    ) -> None:
        killed(tmp_path, 6, at_most=1)
        (newest,) = tmp_path.glob("0*")
        damage(newest)
        (tmp_path / "000000005-0002-E").mkdir()  # a fragment, which stays as well
        before = listing(tmp_path), sorted(tmp_path.rglob("*"))
        training = train(tmp_path)
        with (
            pytest.warns(RnnrWarning, match="damaged"),
            pytest.raises(RuntimeError, match="must have a whole snapshot to go on from") as error,
        ):
            training.run()
        assert str(tmp_path) in str(error.value)
        assert "move the folder and the logs of the run away" in str(error.value)
        assert (listing(tmp_path), sorted(tmp_path.rglob("*"))) == before
        assert training.seen == []

    @pytest.mark.parametrize("size", [0, 1, 100, -1, -30])
    def test_a_manifest_that_is_cut_is_taken_for_a_save_that_was_killed(
        self, tmp_path: Path, size: int
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        killed(folder, 6)
        newest = max(folder.glob("0*"))
        (newest / MANIFEST).write_bytes((newest / MANIFEST).read_bytes()[:size])
        with logged("rnnr.durable") as records:
            training = train(folder, seed=1).run()
        assert f"INFO: Removing {newest}, a fragment: {MANIFEST} is cut" in lines_of(records)
        assert training.result == expected

    @pytest.mark.parametrize("size", [0, 100, -30])
    def test_the_only_one_is_not_taken_for_that(self, tmp_path: Path, size: int) -> None:
        killed(tmp_path, 6, at_most=1)
        (newest,) = tmp_path.glob("0*")
        (newest / MANIFEST).write_bytes((newest / MANIFEST).read_bytes()[:size])
        before = listing(tmp_path)
        with pytest.raises(RuntimeError, match="must have a whole snapshot"):
            train(tmp_path).run()
        assert listing(tmp_path) == before

    @pytest.mark.parametrize("size", [None, 0, 100, -30])
    def test_the_fragment_of_a_beginning_begins_again(
        self, tmp_path: Path, size: int | None
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        killed(folder, 1)
        (beginning,) = folder.glob("0*")
        if size is None:
            (beginning / MANIFEST).unlink()
        else:
            (beginning / MANIFEST).write_bytes((beginning / MANIFEST).read_bytes()[:size])
        training = train(folder).run()
        assert training.seen == [*range(1, 9)]
        assert training.result == expected

    def test_a_beginning_that_is_damaged_is_lost(self, tmp_path: Path) -> None:
        killed(tmp_path, 1)
        (beginning,) = tmp_path.glob("0*")
        flip(beginning)
        with (
            pytest.warns(RnnrWarning, match="damaged"),
            pytest.raises(RuntimeError, match="000000000-0000-S"),
        ):
            train(tmp_path).run()

    def test_two_that_are_damaged_are_two_warnings(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        killed(folder, 6, at_most=3)
        for path in sorted(folder.glob("0*"))[1:]:
            flip(path)
        with pytest.warns(RnnrWarning) as caught:
            training = train(folder, seed=1, at_most=3).run()
        assert len(caught) == 2
        assert training.result == expected

    def test_a_machine_without_memory_is_not_damage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed(tmp_path, 6)
        monkeypatch.setattr(Snapshot, "read", lambda _: raise_(MemoryError()))
        with pytest.raises(MemoryError):
            train(tmp_path).run()


HOLD = """
import sys
from rnnr import Event, Runner
from rnnr.durable import Snapshots

runner = Runner()
Snapshots(sys.argv[1]).attach_on(runner)

@runner.on(Event.BATCH)
def hold(state):
    print("running", flush=True)
    sys.stdin.readline()

runner.run("a")
"""

FORK = """
import os, sys
from rnnr import Event, Runner
from rnnr.durable import Snapshots

runner = Runner()
Snapshots(sys.argv[1]).attach_on(runner)

@runner.on(Event.BATCH)
def fork(state):
    if os.fork() == 0:  # a worker that lives on
        sys.stdin.readline()
        os._exit(0)

runner.run("a")
print("ended", flush=True)
if "killed" in sys.argv:
    os.kill(os.getpid(), 9)
os._exit(0)
"""

LOADER = """
import os, sys
import torch
from rnnr import Event, Runner
from rnnr.durable import Snapshots

runner = Runner()
Snapshots(sys.argv[1]).attach_on(runner)
loader = torch.utils.data.DataLoader(range(100), num_workers=1, multiprocessing_context="fork")

@runner.on(Event.BATCH)
def die(state):
    print(loader._iterator._workers[0].pid if loader._iterator else 0, flush=True)
    os.kill(os.getpid(), 9)

runner.run(loader)
"""


@contextmanager
def process(text: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a script, and kill it in the end."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-W", "ignore", "-c", text, *map(str, arguments)]
    with subprocess.Popen(command, **pipes, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def line_of(other: subprocess.Popen[str]) -> str:
    assert other.stdout
    return other.stdout.readline().strip()


class TestLock:
    def test_another_process_is_kept_out_and_named(self, tmp_path: Path) -> None:
        with process(HOLD, tmp_path) as other:
            assert line_of(other) == "running"
            (tmp_path / "000000009-0001-B").mkdir()  # what it may be writing
            before = listing(tmp_path), sorted(tmp_path.iterdir())
            with pytest.raises(RuntimeError, match=f"process {other.pid} on .* is using") as error:
                train(tmp_path).run()
            assert str(tmp_path) in str(error.value)
            assert (listing(tmp_path), sorted(tmp_path.iterdir())) == before
            other.communicate("go on\n")
            assert other.returncode == 0
        train(tmp_path / "other").run()

    def test_a_process_that_was_killed_holds_nothing(self, tmp_path: Path) -> None:
        with process(HOLD, tmp_path) as other:
            assert line_of(other) == "running"
            other.kill()
            other.wait()

    def test_another_process_than_the_one_that_has_it_does_not_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = Folder(tmp_path)
        with folder.locked():
            monkeypatch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="must be written by the process that runs"):
                folder.write(Name(1, 1, "B"), {}, [])

    def test_a_child_that_was_forked_does_not_write(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        with folder.locked():
            read, write = os.pipe()
            if os.fork() == 0:  # pragma: no cover  (another process)
                try:
                    folder.write(Name(1, 1, "B"), {}, [])
                except RuntimeError as error:
                    os.write(write, str(error).encode())
                os._exit(0)
            os.wait()
            os.close(write)
            with open(read, "rb") as told:
                text = told.read().decode()
        assert f"must be written by the process that runs, {os.getpid()}, got " in text
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    @pytest.mark.parametrize("end", ["killed", "exited"])
    def test_a_child_that_was_forked_and_lives_on_holds_nothing(
        self, tmp_path: Path, end: str
    ) -> None:
        with process(FORK, tmp_path, end) as other:
            assert line_of(other) == "ended"
            other.wait()
            training = train(tmp_path)
            with Folder(tmp_path).locked():
                pass
            assert training.seen == []
            assert other.stdin
            other.stdin.close()  # the child ends

    @pytest.mark.long
    def test_workers_of_a_process_that_was_killed_hold_nothing(self, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        with process(LOADER, tmp_path) as other:
            line_of(other)
            assert other.wait() == -9
            with Folder(tmp_path).locked():
                pass

    @pytest.mark.filterwarnings("ignore:what changes in a run must be saved")  # the inner model
    def test_a_second_one_in_this_process_is_kept_out(self, tmp_path: Path) -> None:
        inner = train(tmp_path)
        outer = train(tmp_path, lambda _: inner.run())
        with pytest.raises(RuntimeError, match=f"process {os.getpid()} on .* is using"):
            outer.run()
        with Folder(tmp_path).locked():  # it is free again
            pass

    def test_one_who_writes_no_name_is_another_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Folder(tmp_path).locked():
            (tmp_path / ".lock").write_text("")
            with (
                pytest.raises(RuntimeError, match="which another process is using"),
                Folder(tmp_path).locked(),
            ):
                pass

    def test_a_file_system_without_locks_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unable = OSError(errno.ENOLCK, "no locks")
        monkeypatch.setattr("rnnr.durable._folder.lock", lambda *_, **__: raise_(unable))
        with logged("rnnr.durable") as records, Folder(tmp_path).locked():
            pass
        (line,) = lines_of(records)
        assert line.startswith(f"WARNING: Cannot lock {tmp_path}")
        assert "use it in one process alone" in line
