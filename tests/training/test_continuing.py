"""Label maps are continued where their borders cut something, with what is not learnt."""

import numpy as np

from medseg.training.continuing import continue_beyond

CLASSES = (0, 1, 0, 0)  # air; what is learnt; two tissues around it


def head():
    """A ball of label 1 in a shell of label 2 that goes on to the lower face, with some label 3 in it."""
    labels = np.zeros((32, 32, 24), np.uint8)
    labels[8:24, 8:24, :20] = 2
    labels[10:22, 10:16, :20] = 3
    labels[12:20, 12:20, 6:16] = 1
    return labels


def test_it_goes_on_below_where_the_outline_is_cut():
    continued = continue_beyond(head(), CLASSES, reach_mm=15, spacing_mm=1.5)
    assert continued.shape == (32, 32, 34)
    assert np.array_equal(continued[:, :, 10:], head())
    added = continued[:, :, :10]
    assert set(np.unique(added)) == {0, 2, 3}
    assert np.array_equal(added > 0, np.broadcast_to(head()[:, :, :1] > 0, added.shape))


def test_shares_are_those_near_the_face():
    continued = continue_beyond(head(), CLASSES, reach_mm=100, spacing_mm=1.0)
    inside = continued[13:19, 13:19, :100]  # the rim is of the rim's tissue alone
    near = head()
    wanted = (near == 3).sum() / np.isin(near, (2, 3)).sum()
    assert abs((inside == 3).mean() - wanted) < 0.1


def test_what_touches_no_face_and_what_is_all_learnt_stays():
    inner = np.pad(head()[:, :, 1:], ((0, 0), (0, 0), (1, 0)))
    assert continue_beyond(inner, CLASSES, reach_mm=10, spacing_mm=1.0) is inner
    learnt = (0, 1, 2, 3)
    assert continue_beyond(head(), learnt, reach_mm=10, spacing_mm=1.0).shape == head().shape


def test_the_same_seed_gives_the_same_map():
    one, same, other = (
        continue_beyond(head(), CLASSES, reach_mm=10, spacing_mm=1.0, seed=n) for n in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
