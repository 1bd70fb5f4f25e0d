import doctest
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import medseg.atomic
import medseg.formats
from medseg.builtin import plugin as builtin
from medseg.errors import AmbiguousNameError, OptionError, PluginError, VolumeError
from medseg.formats import list_contents, load, save
from medseg.plugin import Format, hookimpl
from medseg.registry import Registry
from medseg.volume import Volume

BLOCK = Volume(np.zeros((2, 3, 4), np.int16), np.eye(4))


def read_zeros(path, *, kind, mirror: bool = False):
    return Volume(np.zeros((1, 1, 2), np.uint8), np.eye(4), kind, (f"mirror={mirror}",))


def read_image_always(path, *, kind):
    return BLOCK


def read_fails(path, *, kind):
    raise PermissionError(13, "Permission denied")


def sniff_all(path):
    return True


def write_text(volume, path, *, digits: int = 3):
    path.write_text(f"digits={digits}")


def offering(monkeypatch, *suffixes, read=read_zeros, sniff=None, write=None, folders=False, name="block"):
    """A plugin with one format whose code is in this module."""
    module = SimpleNamespace(__name__="formats_of_a_test", read=read, sniff=sniff, write=write)
    monkeypatch.setitem(sys.modules, f"formats_of_a_test_{id(module)}", module)
    where = f"formats_of_a_test_{id(module)}"

    class Plugin:
        MEDSEG_API = 1
        __name__ = "formats_of_a_test"

        @hookimpl
        def medseg_formats(self):
            yield Format(
                name=name,
                factory=f"{where}:read",
                folders=folders,
                suffixes=suffixes,
                sniff=f"{where}:sniff" if sniff else "",
                write=f"{where}:write" if write else "",
                summary="",
            )

    return Plugin()


def test_the_documented_examples_run():
    assert doctest.testmod(medseg.formats).failed == 0
    assert doctest.testmod(medseg.atomic).failed == 0


def test_what_is_saved_is_loaded(tmp_path):
    labels = Volume(np.arange(24, dtype=np.int64).reshape(2, 3, 4), np.diag([2.0, 2.0, 3.0, 1.0]), "labels")
    save(labels, tmp_path / "a.nii.gz")
    back = load(tmp_path / "a.nii.gz", kind="labels")
    assert back.kind == "labels"
    assert np.array_equal(back.array, labels.array)
    assert back.grid.matches(labels.grid)


@pytest.mark.parametrize("name", ["A.NII", "a.Nii.Gz", "scan.v2.nii"])
def test_suffixes_are_known_in_any_case_and_after_any_dots(tmp_path, name):
    save(BLOCK, tmp_path / name)
    assert load(tmp_path / name).shape == BLOCK.shape


def test_the_longest_suffix_wins(tmp_path, monkeypatch):
    registry = Registry.of(
        short=offering(monkeypatch, ".gz", read=read_image_always),
        long=offering(monkeypatch, ".seg.gz", read=read_zeros),
    )
    (tmp_path / "a.seg.gz").touch()
    assert load(tmp_path / "a.seg.gz", registry=registry).shape == (1, 1, 2)


def test_an_installed_plugin_goes_before_the_core_and_the_core_can_still_be_named(tmp_path, monkeypatch):
    registry = Registry.of(builtin=builtin, mine=offering(monkeypatch, ".nii"))
    save(BLOCK, tmp_path / "a.nii", format="builtin:nifti", registry=registry)
    assert load(tmp_path / "a.nii", registry=registry).shape == (1, 1, 2)
    assert load(tmp_path / "a.nii", registry=registry, format="nifti").shape == BLOCK.shape


def test_two_plugins_for_one_suffix_must_be_told_apart(tmp_path, monkeypatch):
    registry = Registry.of(one=offering(monkeypatch, ".xyz"), two=offering(monkeypatch, ".xyz"))
    (tmp_path / "a.xyz").touch()
    with pytest.raises(AmbiguousNameError, match=r"one:block, two:block; say which with format="):
        load(tmp_path / "a.xyz", registry=registry)
    assert load(tmp_path / "a.xyz", registry=registry, format="two:block").shape == (1, 1, 2)


def test_content_decides_where_the_name_says_nothing(tmp_path):
    save(BLOCK, tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").rename(tmp_path / "IM0001")
    assert load(tmp_path / "IM0001").shape == BLOCK.shape


def test_content_that_two_plugins_claim_must_be_told_apart(tmp_path, monkeypatch):
    claims = [offering(monkeypatch, ".x", sniff=sniff_all), offering(monkeypatch, ".y", sniff=sniff_all)]
    (tmp_path / "a").touch()
    with pytest.raises(AmbiguousNameError, match="content of a fits several formats"):
        load(tmp_path / "a", registry=Registry.of(one=claims[0], two=claims[1]))


def test_a_refused_file_goes_to_no_other_reader(tmp_path, monkeypatch):
    registry = Registry.of(builtin=builtin, eager=offering(monkeypatch, ".xyz", sniff=sniff_all))
    (tmp_path / "a.nii").write_bytes(b"<html>")
    with pytest.raises(VolumeError, match="web page"):
        load(tmp_path / "a.nii", registry=registry)


def test_a_missing_file_is_named_with_its_folder(tmp_path):
    with pytest.raises(VolumeError, match=f"a.nii: no such file; looked in {tmp_path}"):
        load(tmp_path / "a.nii")


def test_a_folder_is_refused_unless_a_format_reads_it(tmp_path, monkeypatch):
    (tmp_path / "case.nii").mkdir()
    with pytest.raises(VolumeError, match=r"case.nii is a folder that no installed format reads"):
        load(tmp_path / "case.nii", registry=Registry.of(builtin=builtin))
    single = Registry.of(builtin=builtin, series=offering(monkeypatch, ".dcm", sniff=sniff_all))
    with pytest.raises(VolumeError, match=r"case.nii is a folder that no installed format reads"):
        load(tmp_path / "case.nii", registry=single)
    series = offering(monkeypatch, ".dcm", sniff=sniff_all, folders=True)
    registry = Registry.of(builtin=builtin, series=series)
    assert load(tmp_path / "case.nii", registry=registry).shape == (1, 1, 2)


def test_a_file_of_no_known_format_lists_those_that_are(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(VolumeError, match=r"a.txt is of no format .*builtin:nifti \(.nii, .nii.gz"):
        load(tmp_path / "a.txt", registry=Registry.of(builtin=builtin))


def test_a_file_that_the_system_does_not_open_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").touch()
    registry = Registry.of(mine=offering(monkeypatch, ".xyz", read=read_fails))
    with pytest.raises(VolumeError, match=r"a.xyz cannot be read: Permission denied; check"):
        load(tmp_path / "a.xyz", registry=registry)


def test_permissions_reach_the_reader_and_unknown_ones_are_refused_with_those_there_are(
    tmp_path, monkeypatch
):
    (tmp_path / "a.xyz").touch()
    registry = Registry.of(mine=offering(monkeypatch, ".xyz"))
    assert load(tmp_path / "a.xyz", registry=registry, mirror="yes").notes == ("mirror=True",)
    with pytest.raises(OptionError, match=r"mine:block has no option 'gap'. It takes: mirror=False"):
        load(tmp_path / "a.xyz", registry=registry, gap="resample")


def test_a_reader_that_returns_another_kind_broke_its_promise(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").touch()
    registry = Registry.of(mine=offering(monkeypatch, ".xyz", read=read_image_always))
    with pytest.raises(PluginError, match=r"mine:block returned .*'labels'"):
        load(tmp_path / "a.xyz", registry=registry, kind="labels")


def test_a_format_that_cannot_be_written_names_those_that_can(tmp_path, monkeypatch):
    registry = Registry.of(builtin=builtin, mine=offering(monkeypatch, ".xyz"))
    with pytest.raises(OptionError, match=r"a.xyz: the format mine:block can only be read.*builtin:nifti"):
        save(BLOCK, tmp_path / "a.xyz", registry=registry)
    with pytest.raises(OptionError, match=r"a.bmp: no format is written under this suffix.*builtin:nifti"):
        save(BLOCK, tmp_path / "a.bmp", registry=registry)
    assert not list(tmp_path.iterdir())


def test_a_writers_options_are_checked(tmp_path, monkeypatch):
    registry = Registry.of(mine=offering(monkeypatch, ".xyz", write=write_text))
    save(BLOCK, tmp_path / "a.xyz", registry=registry, digits="5")
    assert (tmp_path / "a.xyz").read_text() == "digits=5"
    with pytest.raises(OptionError, match="no option 'colour'"):
        save(BLOCK, tmp_path / "a.xyz", registry=registry, colour="red")


def test_a_format_that_asks_for_it_is_read_in_a_child_process(tmp_path, monkeypatch):
    (tmp_path / "planted_format.py").write_text(
        "import os\n"
        "import numpy as np\n"
        "from medseg.volume import Volume\n"
        "def read(path, *, kind):\n"
        "    return Volume(np.full((1, 1, 1), os.getpid()), np.eye(4), kind)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "scan.planted").write_text("")

    def process_of_the_reader(*, isolate: bool) -> int:
        description = Format(
            name="planted",
            factory="planted_format:read",
            suffixes=(".planted",),
            summary="Whose process am I in",
            isolate=isolate,
        )
        plugin = SimpleNamespace(MEDSEG_API=1, medseg_formats=hookimpl(lambda: [description]))
        return int(load(tmp_path / "scan.planted", registry=Registry.of(planted=plugin)).array[0, 0, 0])

    assert process_of_the_reader(isolate=False) == os.getpid()
    assert process_of_the_reader(isolate=True) != os.getpid()


@pytest.mark.parametrize("name", ["a.nii", "a.dcm", "a.mha", "a"])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "zero"):
        for look in (load, list_contents):
            with pytest.raises(VolumeError, match=f"{path.name} is a pipe, a socket or a device"):
                look(path)
