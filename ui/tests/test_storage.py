"""The private folder: who can read it, what is left of it."""

import os
import stat
import subprocess
import sys

from medseg_ui.storage import Storage


def test_only_its_owner_finds_a_file(tmp_path):
    storage = Storage(tmp_path / "work")
    path = storage.new_folder("case") / "volume.nii"
    token = storage.share(path, owner="anna")
    assert storage.find(token, "anna").path == path
    assert storage.find(token, "boris") is None
    assert storage.find(token, None) is None
    assert storage.find("guess", "anna") is None


def test_the_same_file_keeps_its_token_so_that_a_rerun_fetches_nothing_again(tmp_path):
    storage = Storage(tmp_path / "work")
    path = storage.root / "volume.nii"
    assert storage.share(path, owner="anna") == storage.share(path, owner="anna")
    assert storage.share(path, owner="anna") != storage.share(path, owner="boris")


def test_a_removed_folder_takes_its_tokens_along(tmp_path):
    storage = Storage(tmp_path / "work")
    folder = storage.new_folder("case")
    token = storage.share(folder / "volume.nii", owner="anna")
    storage.remove(folder)
    assert not folder.exists()
    assert storage.find(token, "anna") is None


def test_folders_are_closed_to_other_accounts_and_removed_at_the_end(tmp_path):
    storage = Storage(tmp_path / "work")
    folder = storage.new_folder("case")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "work", storage.root, folder)]
    assert modes == [0o700] * 3
    storage.close()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_a_killed_server_left_is_swept_and_a_living_one_keeps_its_own(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"{ended.pid}-abc"
    living = tmp_path / f"{os.getppid()}-abc"
    for folder in (left, living):
        folder.mkdir()
    Storage(tmp_path)
    assert not left.exists()
    assert living.exists()
