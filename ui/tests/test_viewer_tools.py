"""The picture's tools, used as a person does: outlines, ruler, angle, grow-cut, 3-D ball, many labels."""

import base64
import math

import numpy as np
import pytest

import medseg
from medseg import Volume

pytestmark = pytest.mark.ui

SHOW = """async ([volume, labels, colours]) => {
  const { viewer } = document.querySelector(".ms-root");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const url = (text) => URL.createObjectURL(new Blob([bytes(text)]));
  viewer.edits.forget();
  await viewer.scene.showVolume({ url: url(volume), window: [0, 200] });
  await viewer.scene.showLabels(url(labels));
  viewer.entries = colours.map((colour, n) => (
    { index: n + 1, value: n + 1, name: `label ${n + 1}`, colour, voxels: 0, ml: 0, mean: null, cut: [],
      shown: true }
  ));
  viewer.scene.setColours(viewer.entries);
  viewer.setLayout("axial");
  viewer.scene.moveTo([20, 20, 20]);
}"""


def encoded(volume, path):
    medseg.save(volume, path)
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture
def show(visitor, samples, tmp_path):
    """Shows an image (I, J, K) and labels in a viewer."""
    visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")

    def shown(image, labels, spacing=(1.0, 1.0, 1.0)):
        volume = Volume(image.astype(np.float32), np.diag([*spacing, 1.0]))
        drawn = volume.with_array(labels.astype(np.uint8), kind="labels")
        sent = [
            encoded(volume, tmp_path / "v.nii"),
            encoded(drawn, tmp_path / "l.nii"),
            ["#ff0000", "#00ff00"],
        ]
        visitor.page.evaluate(SHOW, sent)
        return visitor

    return shown


def cube():
    labels = np.zeros((41, 41, 41))
    labels[10:31, 10:31, 10:31] = 1
    return np.full(labels.shape, 100.0), labels


def red(picture):
    return picture[..., 0] - picture[..., 1] > 60


def world_of(visitor, place):
    """Where in the patient a place of the picture is, by a click with the cross."""
    visitor.page.click("[data-name=cross]")
    visitor.drag(place)
    return np.array(visitor.ask("scene.place.world"))


def test_outlines_are_drawn_where_a_label_ends_and_nowhere_else(show):
    visitor = show(*cube())
    filled = red(visitor.pixels())
    visitor.page.get_by_text("Outlines only").click()
    outlined = red(visitor.pixels())
    rows, columns = np.nonzero(filled)
    middle = (slice(rows.min() + 20, rows.max() - 20), slice(columns.min() + 20, columns.max() - 20))
    assert filled[middle].mean() > 0.9
    assert outlined.sum() > 200
    assert outlined[middle].mean() < 0.02
    visitor.page.get_by_text("Outlines only").click()


def test_the_ruler_measures_millimetres_in_the_patient(show):
    visitor = show(*cube(), spacing=(1.0, 2.0, 3.0))
    start, end = (0.35, 0.4), (0.6, 0.55)
    expected = np.linalg.norm(world_of(visitor, start) - world_of(visitor, end))
    visitor.page.click("[data-name=ruler]")
    visitor.drag(start, end)
    (line,) = visitor.ask("measurements")
    # The cross goes to the middle of a voxel, the ruler to where it is put.
    assert line["mm"] == pytest.approx(expected, abs=3.0)
    assert line["mm"] > 10
    assert visitor.page.locator(".ms-measure").text_content() == f"1. {line['mm']:.1f} mm"
    visitor.page.get_by_title("Remove all measurements").click()
    assert visitor.ask("measurements") == []


def test_the_angle_between_two_lines_is_that_of_their_directions(show):
    visitor = show(*cube())
    visitor.page.click("[data-name=angle]")
    corner = (0.5, 0.6)
    visitor.drag((0.5, 0.3), corner)
    visitor.drag((0.4, 0.6))
    (angle,) = visitor.ask("measurements")
    assert angle["kind"] == "angle"
    assert angle["degrees"] == pytest.approx(90, abs=2)
    with visitor.page.expect_download() as waiting:
        visitor.page.get_by_title("Save the measurements as a table").click()
    rows = waiting.value.path().read_text().splitlines()
    assert rows[0] == "kind,mm or degrees,x_mm,y_mm,z_mm"
    assert rows[1].startswith(f"angle,{angle['degrees']:.2f},")


def test_grow_cut_gives_each_half_of_an_image_the_label_that_was_drawn_in_it(show):
    image = np.zeros((30, 20, 16))
    image[15:] = 150
    seeds = np.zeros(image.shape)
    seeds[3:6, 8:12, 6:10], seeds[24:27, 8:12, 6:10] = 1, 2
    visitor = show(image, seeds)
    visitor.page.evaluate(
        """() => {
          const { viewer } = document.querySelector(".ms-root");
          viewer.edits.start(viewer.scene.bitmap);
          viewer.growCut();
        }"""
    )
    grown = np.array(visitor.ask("scene.encodeLabels().then((b) => Array.from(b))")).reshape(
        image.shape, order="F"
    )
    assert (grown[:14] == 1).mean() > 0.95
    assert (grown[16:] == 2).mean() > 0.95


def test_a_click_with_the_ball_adds_a_ball_in_millimetres_and_shift_takes_it_away(show):
    spacing = (1.0, 1.0, 2.0)
    image, _ = cube()
    visitor = show(image, np.zeros(image.shape), spacing=spacing)
    visitor.page.evaluate(
        """() => {
          const { viewer } = document.querySelector(".ms-root");
          viewer.pen.label = 1;
          viewer.data.labels = { saveUrl: "nowhere" };
          viewer.setEditing(true);
          viewer.resizePen(9 - viewer.pen.size);
        }"""
    )
    visitor.page.click("[data-name=ball]")
    visitor.drag((0.5, 0.5))
    centre = visitor.ask("scene.place.world")
    drawn = "scene.encodeLabels().then((b) => Array.from(b))"
    ball = np.array(visitor.ask(drawn)).reshape(image.shape, order="F")
    offsets = [np.arange(n) * mm - c for n, mm, c in zip(image.shape, spacing, centre, strict=True)]
    distance = np.sqrt(sum(g**2 for g in np.meshgrid(*offsets, indexing="ij")))
    np.testing.assert_array_equal(ball, distance <= 4.5)
    visitor.page.keyboard.down("Shift")
    visitor.drag((0.5, 0.5))
    visitor.page.keyboard.up("Shift")
    assert sum(visitor.ask(drawn)) == 0


def test_among_a_hundred_labels_one_is_found_by_its_name_and_gone_to(visitor, tmp_path):
    array = np.zeros((60, 60, 60), np.uint8)
    for n in range(117):
        i, j, k = n % 6, n // 6 % 6, n // 36
        array[10 * i + 3 : 10 * i + 7, 10 * j + 3 : 10 * j + 7, 15 * k + 3 : 15 * k + 7] = n + 1
    image = Volume(array.astype(np.float32), np.eye(4))
    medseg.save(image, tmp_path / "many.nii.gz")
    medseg.save(image.with_array(array, kind="labels"), tmp_path / "labels.nii.gz")
    visitor.open(tmp_path / "many.nii.gz")
    page = visitor.page
    page.get_by_role("link", name="Compare").click()
    page.get_by_text("Drop a reference label map here").wait_for()
    visitor.upload(tmp_path / "labels.nii.gz")
    page.get_by_text("one result so far").wait_for()
    page.get_by_role("link", name="Segment").click()
    visitor.wait_for_labels()
    assert page.locator(".ms-row").count() == 117
    page.get_by_placeholder("Find a label").fill("label 77")
    assert page.locator(".ms-row").count() == 1
    page.locator(".ms-name").click()
    world = visitor.ask("scene.place.world")
    where = np.argwhere(array == 77).mean(axis=0)
    assert math.dist(world, where) < 1
