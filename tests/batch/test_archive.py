"""A folder of folders with several series each: a case for each series."""

import numpy as np
import pytest

from medseg.batch.cases import find_cases
from medseg.batch.segmenting import SegmentCases

pytestmark = pytest.mark.usefixtures("tiny")


def write_series(folder, *lengths):
    folder.mkdir(parents=True)
    for series, length in enumerate(lengths):
        for number in range(length):
            np.savetxt(folder / f"{series}-{number}.slice", np.full((4, 5), 100 * series + number))


def test_each_series_of_an_archive_is_a_case_with_its_own_number(tmp_path):
    write_series(tmp_path / "in" / "p1" / "s1", 3, 2)
    write_series(tmp_path / "in" / "p2", 3)
    cases = find_cases([tmp_path / "in"], tmp_path / "out")
    assert [(case.name, dict(case.options)) for case in cases] == [
        ("p1_s1_series1", {"series": 1}),
        ("p1_s1_series2", {"series": 2}),
        ("p2", {}),
    ]
    job = SegmentCases(model="tiny:calm")
    shapes = [job.read(case)[0][0].shape for case in cases]
    assert shapes == [(4, 5, 3), (4, 5, 2), (4, 5, 3)]


def test_a_folder_of_several_series_that_is_named_itself_is_one_case_whose_reader_asks(tmp_path):
    write_series(tmp_path / "dump", 3, 2)
    (named,) = find_cases([tmp_path / "dump"], tmp_path / "out")
    assert (named.name, dict(named.options)) == ("dump", {})
    assert [case.name for case in find_cases([tmp_path], tmp_path / "out")] == [
        "dump_series1",
        "dump_series2",
    ]
    (chosen,) = find_cases([tmp_path], tmp_path / "out", split="none")
    assert (chosen.name, dict(chosen.options)) == ("dump", {})


def test_where_all_series_are_asked_for_a_folder_named_itself_is_split(tmp_path, tiny_site, start_medseg):
    write_series(tmp_path / "dump", 3, 2)
    out = tmp_path / "out"
    arguments = ("segment", tmp_path / "dump", "-m", "tiny:calm", "-o", out, "--allow", "series=all")
    done = start_medseg(*arguments, site=tiny_site)
    said = done.communicate()[1]
    assert (done.returncode, "2 done, of 2" in said) == (0, True), said
    assert {path.name for path in out.glob("*.nii.gz")} == {"dump_series1.nii.gz", "dump_series2.nii.gz"}


def test_what_its_reader_leaves_aside_is_no_case(tmp_path):
    write_series(tmp_path / "in" / "p1", 2, 3)
    for slice_ in (tmp_path / "in" / "p1").glob("0-*"):  # what the tests' format takes for a localizer
        np.savetxt(slice_, np.full((4, 5), -1))
    (case,) = find_cases([tmp_path / "in"], tmp_path / "out")
    assert (case.name, dict(case.options)) == ("p1", {})


def test_a_series_that_cannot_be_read_is_refused_and_the_others_are_not(tmp_path):
    write_series(tmp_path / "in" / "p1", 1, 2)
    scout, scan = find_cases([tmp_path / "in"], tmp_path / "out")
    assert (scout.problem, scan.problem) == ("one slice only", "")
