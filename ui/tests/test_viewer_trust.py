"""What explains a result and what moves it: maps over the image, a contour that is watched and steered."""

import gzip

import nibabel
import numpy as np
import pytest

pytestmark = pytest.mark.ui

CONTOUR = "Move the border with an active contour"


def labels_of(visitor):
    with gzip.open(visitor.download("NIfTI").path()) as file:
        return nibabel.Nifti1Image.from_bytes(file.read()).get_fdata().astype(int)


@pytest.fixture
def segmented(visitor, samples):
    def run(*wanted):
        visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")
        if wanted:
            visitor.page.get_by_text("Maps to look at").click()
        for text in wanted:
            visitor.page.get_by_text(text).click()
            visitor.page.wait_for_timeout(500)
        visitor.run_model()
        visitor.wait_for_labels()
        return visitor

    return run


def test_probability_and_uncertainty_lie_over_the_image_and_are_read_under_the_cross(segmented):
    visitor = segmented("Probabilities and uncertainty")
    page = visitor.page
    plain = visitor.pixels()
    page.select_option("select[name=map]", label="Probability: brain")
    page.wait_for_selector(".ms-root[data-map$=probability-1]")
    inside = float(page.locator("[data-readout=map]").text_content().removeprefix("map"))
    assert inside > 0.9  # the cross is in the middle of what was found
    yellow = visitor.pixels()
    assert ((yellow[..., 1] - yellow[..., 2]) > 60).mean() > 0.05
    page.select_option("select[name=map]", label="Uncertainty")
    page.wait_for_selector(".ms-root[data-map$=uncertainty]")
    assert float(page.locator("[data-readout=map]").text_content().removeprefix("map")) < 0.3
    page.select_option("select[name=map]", label="None")
    page.wait_for_selector('.ms-root[data-map=""]')
    assert np.abs(visitor.pixels() - plain).mean() < 1


def test_a_contour_is_watched_as_it_moves_and_stepped_through_afterwards(segmented):
    visitor = segmented()
    page = visitor.page
    before = visitor.ask("scene.bitmap.slice().filter((v) => v).length")
    seen = []
    page.expose_function("noteIteration", lambda iteration: seen.append(int(iteration)))
    page.evaluate(
        """() => {
          const root = document.querySelector(".ms-root");
          new MutationObserver(() => window.noteIteration(root.dataset.iteration)).observe(root, {
            attributeFilter: ["data-iteration"],
          });
        }"""
    )
    page.get_by_text(CONTOUR).click()
    page.get_by_role("button", name="Apply").click()
    page.locator("button", has_text="brain-mask, tdac").wait_for()
    page.wait_for_function("document.querySelector('.ms-root').viewer.labelsTitle.includes('tdac')")
    assert len(set(seen)) >= 2
    after = visitor.ask("scene.bitmap.slice().filter((v) => v).length")
    assert after != before
    page.locator("input[name=course]").fill("0")
    page.wait_for_selector('.ms-root[data-iteration="0"]')
    page.wait_for_timeout(1000)
    assert visitor.ask("scene.bitmap.slice().filter((v) => v).length") == before


def test_what_was_painted_and_erased_by_hand_steers_the_contour_and_stays(segmented):
    visitor = segmented()
    page = visitor.page
    found = labels_of(visitor)
    page.click("[data-name=axial]")
    page.click("[data-name=edit]")
    page.evaluate("document.querySelector('.ms-root').viewer.resizePen(8)")
    page.click("[data-name=ball]")
    visitor.drag((0.27, 0.1))
    page.keyboard.down("Shift")
    visitor.drag((0.5, 0.5))
    page.keyboard.up("Shift")
    page.click("[data-name=save]")
    page.locator("button", has_text="brain-mask, edited").wait_for()
    edited = labels_of(visitor)
    marked = edited != found
    assert (edited[marked] == 1).any()
    assert (edited[marked] == 0).any()
    page.get_by_text(CONTOUR).click()
    page.get_by_role("button", name="Apply").click()
    page.locator("button", has_text="brain-mask, edited, tdac").wait_for()
    moved = labels_of(visitor)
    np.testing.assert_array_equal(moved[marked], edited[marked])
    assert (moved != edited).sum() > 100
