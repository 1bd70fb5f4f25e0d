import json

import pytest

from medseg.batch.cases import find_cases
from medseg.batch.manifest import read_manifest
from medseg.errors import OptionError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "b2.nii.gz"):
        (tmp_path / "scans" / name).write_bytes(b"")
    return tmp_path


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_names_cases_and_may_hold_other_columns(folder):
    table = write(
        folder / "cases.csv",
        "image,name,age,allow:orientation\nscans/a.nii.gz,first,61,sform\nscans/b.nii.gz,,,\n",
    )
    cases = find_cases([table], folder / "out")
    assert [(c.name, c.sources, dict(c.options), c.target) for c in cases] == [
        (
            "first",
            (folder / "scans" / "a.nii.gz",),
            {"orientation": "sform"},
            folder / "out" / "first.nii.gz",
        ),
        ("b", (folder / "scans" / "b.nii.gz",), {}, folder / "out" / "b.nii.gz"),
    ]


def test_json_lines_and_csv_list_the_channels_of_a_case_in_order(folder):
    lines = [{"image": ["scans/b.nii.gz", "scans/b2.nii.gz"], "name": "bob", "allow": {"series": 2}}]
    manifest = write(folder / "cases.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    table = write(folder / "cases.csv", "name,image,image2\nbob,scans/b.nii.gz,scans/b2.nii.gz\n")
    both = [folder / "scans" / "b.nii.gz", folder / "scans" / "b2.nii.gz"]
    for path in (manifest, table):
        (case,) = find_cases([path], folder / "out", channels=("T1w", "FLAIR"))
        assert (case.name, list(case.sources), case.problem) == ("bob", both, "")
    assert read_manifest(manifest)[0].options == {"series": 2}


def test_a_case_with_too_few_channels_or_a_lost_image_is_refused_and_the_others_are_not(folder):
    table = write(
        folder / "cases.csv",
        "image,image2\nscans/a.nii.gz,\nscans/lost.nii.gz,scans/b.nii.gz\nscans/b.nii.gz,scans/b2.nii.gz\n",
    )
    few, lost, sound = find_cases([table], folder / "out", channels=("T1w", "FLAIR"))
    assert few.problem == "cases.csv lists 1 images for it; the model wants 2: T1w, FLAIR"
    assert lost.problem == (
        "cases.csv, line 3: there is no lost.nii.gz; relative paths start at the manifest"
    )
    assert sound.problem == ""


def test_the_numbers_of_the_columns_are_the_order_of_the_channels(folder):
    head = [f"image{number}" for number in range(11, 1, -1)] + ["image"]
    row = [f"scans/{number}.nii" for number in range(11, 0, -1)]
    for number in range(1, 12):
        (folder / "scans" / f"{number}.nii").touch()
    (entry,) = read_manifest(write(folder / "cases.csv", f"{','.join(head)}\n{','.join(row)}\n"))
    assert [source.stem for source in entry.sources] == [str(number) for number in range(1, 12)]
    assert entry.problem == ""


def test_a_case_with_a_gap_before_a_channel_is_refused_and_the_others_are_not(folder):
    a, b = "scans/a.nii.gz", "scans/b.nii.gz"
    text = f"name,image,image2,image3\nann,{a},,{b}\nbob,,{a},\nsid,{a},{b},\n"
    ann, bob, sid = read_manifest(write(folder / "cases.csv", text))
    assert ann.problem == (
        "cases.csv, line 2: image2 is empty and image3 is not; write a path there, or leave out what is "
        "behind"
    )
    assert bob.problem.startswith("cases.csv, line 3: image is empty and image2 is not")
    assert (sid.problem, len(sid.sources)) == ("", 2)
    (lost,) = read_manifest(write(folder / "cases.csv", f"image,image3\n{a},{b}\n"))
    assert lost.problem.startswith("cases.csv, line 2: image2 is empty and image3 is not")


def test_an_image_whose_name_no_disk_takes_is_refused_and_the_others_are_not(folder):
    text = f"image\n{'z' * 300}.nii\nscans/a.nii.gz\n"
    long, sound = find_cases([write(folder / "cases.csv", text)], folder / "out")
    assert long.problem.startswith("cases.csv, line 2: there is no zzz")
    assert sound.problem == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "scan,name\nx,y\n", "a.csv has the columns scan, name; wanted one called image"),
        ("a.csv", "image\n", "a.csv lists no case"),
        ("a.csv", "", r"a.csv has the columns \(none\)"),
        ("a.csv", "image,image2,image02\nx,y,z\n", "the columns image, image2, image02; wanted"),
        ("a.csv", "image,image2,image2\nx,y,z\n", "the columns image, image2, image2; wanted"),
        ("a.csv", "image,image1\nx,y\n", "a.csv has the columns image, image1; wanted image, image2, image3"),
        ("a.csv", "image,image0\nx,y\n", "the columns image, image0; wanted"),
        ("a.csv", "image,name\nscans/a.nii.gz,../x\n", r"line 2: name is '../x'; wanted a file name"),
        ("a.jsonl", "{image}\n", "a.jsonl, line 1: no JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: wanted an object, got list"),
        ("a.jsonl", '{"image": 3}\n', "line 1: image is 3; wanted a path, or a list of them"),
        ("a.jsonl", '{"image": "scans/a.nii.gz", "allow": 1}\n', "line 1: allow is 1"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(folder, name, text, message):
    with pytest.raises(OptionError, match=message):
        find_cases([write(folder / name, text)], folder / "out")


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / "a.csv").write_bytes(b"image\n\xff\xfe\x00\n")
    with pytest.raises(OptionError, match="is no text in UTF-8"):
        read_manifest(folder / "a.csv")
