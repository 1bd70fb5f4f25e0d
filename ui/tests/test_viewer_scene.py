"""The picture itself, in the browser: every order of the axes, and the tools that fill."""

import base64
import itertools
import random

import numpy as np
import pytest
from scipy import ndimage

import medseg
from medseg import Volume
from medseg.geometry import reorient

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]
TURN = np.array([[0.98, -0.2, 0, 3], [0.2, 0.98, 0, -5], [0, 0, 1, 7], [0, 0, 0, 1.0]])
# Show a volume and its labels, set the label of one voxel by its place in the patient, send it back.
ROUND_TRIP = """async ([volume, labels, world]) => {
  const { scene } = document.querySelector(".ms-root").viewer;
  const url = (text) => URL.createObjectURL(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
  await scene.showVolume({ url: url(volume), window: [0, 1] });
  await scene.showLabels(url(labels));
  const before = Array.from(await scene.encodeLabels());
  scene.moveTo(world);
  const { voxel, value } = scene.place;
  const [nx, ny] = scene.size;
  scene.bitmap[voxel[0] + nx * (voxel[1] + ny * voxel[2])] = 3;
  return [before, Array.from(await scene.encodeLabels()), value];
}"""


def encoded(volume, path):
    medseg.save(volume, path)
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def scenes(chromium, server, samples):
    """A page with a viewer in it."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(server.url)
    page.set_input_files("input[data-kind=files]", samples / "itk_t1_head_2x2x3mm.nii.gz")
    page.wait_for_selector(".ms-root[data-volume]")
    yield page
    context.close()


def check_round_trip(page, folder, orientation, affine):
    rng = np.random.default_rng(5)
    ras = Volume(rng.random((6, 7, 8)).astype(np.float32), affine @ np.diag([1.0, 2.0, 1.5, 1.0]))
    volume, _ = reorient(ras, orientation)
    labels = volume.with_array(rng.integers(0, 3, volume.shape).astype(np.uint8), kind="labels")
    voxel = tuple(random.Random(orientation).randrange(n) for n in volume.shape)
    world = (volume.affine @ [*voxel, 1])[:3].tolist()
    sent = [encoded(volume, folder / "v.nii"), encoded(labels, folder / "l.nii"), world]
    before, after, value = page.evaluate(ROUND_TRIP, sent)
    expected = labels.array.copy()
    assert before == expected.ravel(order="F").tolist()
    expected[voxel] = 3
    assert after == expected.ravel(order="F").tolist()
    assert value == pytest.approx(float(volume.array[voxel]), rel=1e-6)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_labels_come_back_voxel_by_voxel_and_a_place_is_the_place_in_the_patient(
    scenes, tmp_path, orientation
):
    check_round_trip(scenes, tmp_path, orientation, np.eye(4))


@pytest.mark.ui
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("affine", [np.eye(4), TURN], ids=["straight", "oblique"])
def test_so_they_do_for_every_order_and_direction_of_the_axes(scenes, tmp_path, orientation, affine):
    check_round_trip(scenes, tmp_path, orientation, affine)


def test_slices_between_two_outlines_are_filled_as_scipys_distances_say(scenes, tmp_path):
    shape = (9, 20, 22)
    image = Volume(np.zeros(shape, np.float32), np.eye(4))
    drawn = np.zeros(shape, np.uint8)
    drawn[1, 4:10, 5:12] = drawn[6, 8:18, 6:20] = 2
    script = """async ([volume, labels]) => {
      const { viewer } = document.querySelector(".ms-root");
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const url = (text) => URL.createObjectURL(new Blob([bytes(text)]));
      await viewer.scene.showVolume({ url: url(volume), window: [0, 1] });
      await viewer.scene.showLabels(url(labels));
      viewer.edits.start(viewer.scene.bitmap);
      viewer.pen.label = 2;
      viewer.setLayout("sagittal");
      viewer.fillBetween();
      return Array.from(await viewer.scene.encodeLabels());
    }"""
    labels = image.with_array(drawn, kind="labels")
    filled = scenes.evaluate(
        script, [encoded(image, tmp_path / "v.nii"), encoded(labels, tmp_path / "l.nii")]
    )

    def signed(mask):
        return ndimage.distance_transform_edt(mask == 0) - ndimage.distance_transform_edt(mask)

    below, above = signed(drawn[1]), signed(drawn[6])
    for between in range(2, 6):
        share = (between - 1) / 5
        drawn[between][(1 - share) * below + share * above < 0] = 2
    assert filled == drawn.ravel(order="F").tolist()


def test_a_flood_fills_what_looks_alike_and_is_connected_as_scipys_labels_say(scenes, tmp_path):
    rng = np.random.default_rng(7)
    image = Volume((rng.random((12, 13, 14)) > 0.45).astype(np.float32), np.eye(4))
    seed = tuple(np.argwhere(image.array == 1)[500].tolist())
    script = """async ([volume, labels, world]) => {
      const { viewer } = document.querySelector(".ms-root");
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const url = (text) => URL.createObjectURL(new Blob([bytes(text)]));
      await viewer.scene.showVolume({ url: url(volume), window: [0, 1] });
      await viewer.scene.showLabels(url(labels));
      viewer.edits.start(viewer.scene.bitmap);
      Object.assign(viewer.pen, { label: 1, tolerance: 0.5 });
      viewer.scene.moveTo(world);
      viewer.flood();
      return Array.from(await viewer.scene.encodeLabels());
    }"""
    empty = image.with_array(np.zeros(image.shape, np.uint8), kind="labels")
    sent = [encoded(image, tmp_path / "v.nii"), encoded(empty, tmp_path / "l.nii"), list(seed)]
    filled = scenes.evaluate(script, sent)
    pieces, _ = ndimage.label(image.array == 1)
    assert filled == (pieces == pieces[seed]).astype(np.uint8).ravel(order="F").tolist()
