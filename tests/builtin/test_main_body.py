"""What hangs on the main body by thin bridges is left out, in millimetres, and nothing of the body is."""

import numpy as np
import pytest

from medseg.builtin.main_body import main_body
from medseg.errors import OptionError
from medseg.volume import Volume


def volume(array, spacing=(1.0, 1.0, 1.0)):
    return Volume(np.asarray(array, np.uint8), np.diag([*spacing, 1.0]), "labels")


def kept(array, spacing=(1.0, 1.0, 1.0), **options):
    labels = volume(array, spacing)
    changed, undo = main_body(**options)(labels)
    assert undo(changed) is changed
    assert changed.grid.matches(labels.grid)
    assert changed.array.dtype == labels.array.dtype
    return changed.array


def two_blocks(thickness):
    """A large block of two labels, a small one, and a bridge of so many voxels between them."""
    array = np.zeros((40, 20, 20), np.uint8)
    array[2:20, 2:18, 2:18] = 1
    array[6:16, 6:14, 6:14] = 3
    array[30:38, 6:14, 6:14] = 3
    array[20:30, 10 : 10 + thickness, 10 : 10 + thickness] = 1
    return array


def test_what_hangs_by_a_thin_bridge_goes_and_the_body_stays_whole():
    array = two_blocks(2)
    found = kept(array)
    np.testing.assert_array_equal(found[:20], array[:20])
    assert not found[30:].any()


def test_a_thick_bridge_holds():
    array = two_blocks(8)
    np.testing.assert_array_equal(kept(array), array)


def test_thin_parts_of_the_body_itself_stay():
    array = two_blocks(2)
    array[30:] = 0  # the bridge leads nowhere: it is a part of the body
    np.testing.assert_array_equal(kept(array), array)


def test_pieces_apart_go_whatever_their_label():
    array = two_blocks(0)
    assert not kept(array)[30:].any()


def test_a_bridge_is_measured_in_millimetres_along_each_axis():
    array = two_blocks(2)
    assert not kept(array, (1.0, 1.5, 1.5))[30:].any()  # 3 mm
    np.testing.assert_array_equal(kept(array, (1.0, 4.0, 4.0)), array)  # 8 mm
    np.testing.assert_array_equal(kept(array, bridge_mm=1.0), array)


def test_a_body_that_leaves_the_volume_is_not_worn_away_there():
    array = np.zeros((12, 12, 12), np.uint8)
    array[:, :, :3] = 2  # 3 mm that can be seen, more beyond
    array[5, 5, 6:] = 2
    np.testing.assert_array_equal(kept(array)[:, :, :3], array[:, :, :3])


def test_where_all_is_thin_the_largest_piece_stays():
    array = np.zeros((9, 9, 9), np.uint8)
    array[1, 1, 1:8], array[7, 7, 1:3] = 1, 2
    found = kept(array)
    np.testing.assert_array_equal(found[1, 1], array[1, 1])
    assert not found[7].any()


def test_an_empty_map_stays_empty():
    assert not kept(np.zeros((4, 5, 6))).any()


def test_images_and_thicknesses_of_nothing_are_refused():
    with pytest.raises(OptionError, match="label maps"):
        main_body()(Volume(np.zeros((2, 2, 2), np.float32), np.eye(4)))
    with pytest.raises(OptionError, match="bridge_mm above 0"):
        main_body(bridge_mm=0)
