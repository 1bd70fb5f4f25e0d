"""Folders of the server: what is offered from them."""

from medseg_ui.open_panel import list_volumes


def test_volumes_and_folders_of_slices_are_listed_and_nothing_behind_links(tmp_path):
    folder, outside = tmp_path / "shared", tmp_path / "private"
    for place in (folder / "series", outside):
        place.mkdir(parents=True)
    for name in ("head.nii.gz", "notes.txt", "series/1.dcm", "series/2.dcm"):
        (folder / name).touch()
    (outside / "secret.nii").touch()
    (folder / "link.nii").symlink_to(outside / "secret.nii")
    (folder / "linked").symlink_to(outside)
    assert list_volumes(folder) == [folder / "head.nii.gz", folder / "series"]
