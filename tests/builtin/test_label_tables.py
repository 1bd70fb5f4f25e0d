"""Colour tables beside a label map."""

import numpy as np
import pytest

from medseg.builtin.label_tables import write_itksnap_labels, write_slicer_colours
from medseg.plugin import Label, Result
from medseg.volume import Volume


@pytest.fixture
def result():
    classes = (
        Label(value=0, name="background", colour="#000000"),
        Label(value=7, name='left "upper" lobe', colour="#e8554e"),
    )
    labels = Volume(np.zeros((2, 2, 2), np.uint8), np.eye(4), "labels")
    return Result(labels=labels, classes=classes, model="a:b", provenance={})


def test_the_table_of_slicer_has_one_line_a_label_without_blanks_in_names(result, tmp_path):
    write_slicer_colours(result, tmp_path / "a.ctbl")

    assert (tmp_path / "a.ctbl").read_text().splitlines()[2:] == [
        "0 background 0 0 0 0",
        '7 left_"upper"_lobe 232 85 78 255',
    ]


def test_the_table_of_itksnap_quotes_names_and_hides_the_background(result, tmp_path):
    write_itksnap_labels(result, tmp_path / "a.labels.txt")

    assert (tmp_path / "a.labels.txt").read_text().splitlines()[2:] == [
        '    0 0 0 0 0 0 0 "background"',
        "    7 232 85 78 1 1 1 \"left 'upper' lobe\"",
    ]
