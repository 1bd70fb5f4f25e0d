"""Methods, sound but for one fault each."""

import itertools

import numpy as np

from medseg.errors import ContractError
from medseg.geometry import crop

CALLS = itertools.count()


def sound():
    return lambda image: image.with_array((image.array > 0.5).astype(np.uint8), kind="labels")


def refuses_constants():
    def segment(image):
        if np.ptp(image.array) == 0:
            raise ContractError("no contrast")
        return sound()(image)

    return segment


def an_image():
    return lambda image: image


def half_the_grid():
    return lambda image: crop(sound()(image), (0, 0, 0), [n // 2 for n in image.shape])[0]


def in_place():
    def segment(image):
        image.array.base[...] = 1 - image.array
        return sound()(image)

    return segment


def threes():
    return lambda image: image.with_array(3 * sound()(image).array, kind="labels")


def an_array():
    return lambda image: image.array > 0


def counts_its_calls():
    return lambda image: image.with_array(np.full(image.shape, next(CALLS), np.uint8), kind="labels")


def divides():
    return lambda image: image.with_array(
        np.full(image.shape, 1 // int(np.ptp(image.array) > 0)), kind="labels"
    )
