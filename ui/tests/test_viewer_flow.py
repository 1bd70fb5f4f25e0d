"""One visit from the first page to the download, in a real browser."""

import gzip

import nibabel
import numpy as np


def reddish(picture):
    """Where a picture of grey values has the brain mask's colour over it."""
    return picture[..., 0] - picture[..., 2] > 30


def read_labels(downloaded):
    assert downloaded.suggested_filename.startswith("brain-mask")
    with gzip.open(downloaded.path()) as file:
        return nibabel.Nifti1Image.from_bytes(file.read())


def test_a_visitor_uploads_a_head_sees_the_mask_corrects_it_and_downloads_what_was_drawn(visitor, samples):
    head, page = samples / "itk_t1_head_2x2x3mm.nii.gz", visitor.page
    visitor.open(head)
    assert reddish(visitor.pixels()).sum() == 0
    visitor.run_model()
    visitor.wait_for_labels()
    assert reddish(visitor.pixels()).mean() > 0.05
    before = read_labels(visitor.download("NIfTI"))

    page.click("[data-name=axial]")
    page.click("[data-name=edit]")
    visitor.drag((0.45, 0.2), (0.55, 0.25))
    assert visitor.ask("edits.done.length") == 1
    page.click("[data-name=undo]")
    assert visitor.ask("edits.unsaved") is False
    page.click("[data-name=redo]")
    drawn = np.array(visitor.ask("scene.encodeLabels().then((bytes) => Array.from(bytes))"), np.uint8)
    page.click("[data-name=save]")
    page.get_by_text("brain-mask, edited").first.wait_for()
    page.locator("button", has_text="brain-mask, edited").wait_for()

    downloaded = visitor.download("NIfTI")
    assert downloaded.suggested_filename == "brain-mask-edited.nii.gz"
    after = read_labels(downloaded)
    assert np.array_equal(after.get_fdata().ravel(order="F"), drawn)
    assert (after.get_fdata() != before.get_fdata()).sum() > 0
    assert np.allclose(after.affine, nibabel.load(head).affine, atol=1e-5)
