"""Steps, sound but for one fault each."""

import itertools

import numpy as np

from medseg.errors import ContractError
from medseg.geometry import crop

CALLS = itertools.count()


def _keep(volume):
    return volume


def double():
    return lambda volume: (volume.with_array(volume.array * 2), _keep)


def no_undo():
    return lambda volume: volume


def in_place():
    def step(volume):
        array = volume.array.base if volume.array.base is not None else volume.array
        array[...] = 0
        return volume, _keep

    return step


def crop_without_undo():
    return lambda volume: (crop(volume, (1, 1, 1), volume.shape)[0], _keep)


def undo_with_new_labels():
    return lambda volume: (volume, lambda labels: labels.with_array(labels.array + 1))


def divide_by_range():
    def step(volume):
        with np.errstate(invalid="ignore"):
            return volume.with_array(volume.array / np.ptp(volume.array)), _keep

    return step


def number_pieces():
    return lambda labels: (labels.with_array(labels.array * 7), _keep)


def counts_its_calls():
    return lambda volume: (volume.with_array(volume.array + next(CALLS)), _keep)


def looks():
    def step(labels, image):
        if not labels.grid.matches(image.grid):
            raise ContractError("another grid")
        return labels.with_array(labels.array * (image.array > 0)), _keep

    return step


def looks_anywhere():
    return lambda labels, image: (labels, _keep)


def changes_the_image():
    def step(labels, image):
        image.array.base[...] = 0
        return labels, _keep

    return step
