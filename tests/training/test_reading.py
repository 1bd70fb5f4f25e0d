import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

import medseg
from medseg import ContractError, OptionError, Volume, save
from medseg.testing.phantoms import make_phantom
from medseg.training.checking import check_dataset
from medseg.training.dataset import mirrored_pairs, with_validation
from medseg.training.reading import read_dataset

SHAPE = (12, 10, 8)
SAMPLES = Path(__file__).parents[2] / "sample_volumes"


def write_case(folder, name, seed, *, suffix="", label_suffix=""):
    image, truth = make_phantom(shape=SHAPE, seed=seed)
    for place, volume, ending in (("images", image, suffix), ("labels", truth, label_suffix)):
        (folder / place).mkdir(parents=True, exist_ok=True)
        save(volume, folder / place / f"{name}{ending}.nii.gz")
    return image, truth


@pytest.fixture
def folder(tmp_path):
    for seed in range(5):
        write_case(tmp_path, f"case{seed}", seed)
    return tmp_path


def test_a_folder_of_images_and_labels_is_a_dataset(folder):
    dataset = read_dataset(folder)
    assert [case.name for case in dataset.cases] == [f"case{n}" for n in range(5)]
    assert [label.name for label in dataset.labels] == ["background", "label 1", "label 2"]
    assert check_dataset(dataset).findings == ()


def test_an_image_that_is_missing_is_named(folder):
    (folder / "images/case3.nii.gz").unlink()
    with pytest.raises(ContractError, match=r"labels/case3.nii.gz has no image of the same name"):
        read_dataset(folder)


def test_a_folder_of_label_maps_alone_is_painted_from(folder):
    for file in (folder / "images").iterdir():
        file.unlink()
    (folder / "images").rmdir()
    dataset = read_dataset(folder)
    assert dataset.recipe is not None
    assert {case.images for case in dataset.cases} == {()}
    assert check_dataset(dataset).fatal == ()


def test_a_fifth_of_the_cases_is_kept_for_validation_and_always_the_same(folder):
    once, again = (with_validation(read_dataset(folder)).of("val") for _ in range(2))
    assert len(once) == 1
    assert once == again


def test_nnunet_folders_are_read_as_they_are(tmp_path):
    for n in range(2):
        image, truth = make_phantom(shape=SHAPE, seed=n)
        for place, name, volume in (
            ("imagesTr", f"la_{n}_0000", image),
            ("imagesTr", f"la_{n}_0001", image),
            ("labelsTr", f"la_{n}", truth),
        ):
            (tmp_path / place).mkdir(exist_ok=True)
            save(volume, tmp_path / place / f"{name}.nii.gz")
    listed = {
        "channel_names": {"0": "CT", "1": "T1"},
        "labels": {"background": 0, "tumour": 2, "organ": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    (tmp_path / "labelsTr/._la_0.nii.gz").write_bytes(b"x")  # as macOS leaves them
    dataset = read_dataset(tmp_path)
    assert [label.name for label in dataset.labels] == ["background", "organ", "tumour"]
    assert [(c.name, c.unit) for c in dataset.channels] == [("CT", "HU"), ("T1", "arbitrary")]
    assert [len(case.images) for case in dataset.cases] == [2, 2]
    (tmp_path / "imagesTr/la_1_0001.nii.gz").unlink()
    with pytest.raises(ContractError, match=r"case la_1 has no la_1_0001.nii.gz in imagesTr"):
        read_dataset(tmp_path)


def test_decathlon_lists_are_read_as_they_are(folder):
    entries = [{"image": f"./images/case{n}.nii.gz", "label": f"./labels/case{n}.nii.gz"} for n in range(3)]
    listed = {
        "name": "Balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "ball", "2": "egg"},
        "training": entries[:2],
        "validation": entries[2:],
    }
    (folder / "dataset.json").write_text(json.dumps(listed))
    dataset = read_dataset(folder)
    assert [case.split for case in dataset.cases] == ["train", "train", "val"]
    assert dataset.labels[2].name == "egg"


def test_a_table_is_read(folder):
    rows = "name,image,labels,split\n" + "".join(
        f"n{n},images/case{n}.nii.gz,labels/case{n}.nii.gz,{'val' if n else 'train'}\n" for n in range(2)
    )
    (folder / "cases.csv").write_text(rows)
    assert [(c.name, c.split) for c in read_dataset(folder / "cases.csv").cases] == [
        ("n0", "train"),
        ("n1", "val"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,image,labels\n{0},{1},labels/case0.nii.gz\n", "columns image, image, labels; .*each once"),
        ("image,labels\n{0},labels/case0.nii.gz\n{1}\n", r"row images/case1.nii.gz has 1 cells, wanted 2"),
        ("image,labels\n{0},labels/case0.nii.gz,train\n", "has 3 cells, wanted 2"),
        ("image,labels\n,labels/case0.nii.gz\n", "those of labels, image filled"),
        ("", "columns none"),
    ],
)
def test_a_table_whose_cells_do_not_fit_its_columns_is_refused(folder, text, sentence):
    (folder / "cases.csv").write_text(text.format("images/case0.nii.gz", "images/case1.nii.gz"))
    with pytest.raises(ContractError, match=sentence):
        read_dataset(folder / "cases.csv")


def test_a_table_may_begin_with_a_spreadsheets_mark_and_hold_empty_lines(folder):
    text = "image,labels\nimages/case0.nii.gz,labels/case0.nii.gz\n\n"
    (folder / "cases.csv").write_text(text, encoding="utf-8-sig")
    assert [case.name for case in read_dataset(folder / "cases.csv").cases] == ["case0"]


def test_of_a_folder_hidden_files_are_no_cases_and_two_images_of_one_name_are_refused(folder):
    for place in ("images", "labels"):
        (folder / place / ".DS_Store").write_bytes(b"x")
    assert len(read_dataset(folder).cases) == 5
    save(make_phantom(shape=SHAPE, seed=7)[0], folder / "images/case3.nii")
    with pytest.raises(ContractError, match=r"case3.nii.gz has several images, case3.nii, case3.nii.gz"):
        read_dataset(folder)


def manifest(folder, cases, **fields):
    path = folder / "cases.json"
    path.write_text(json.dumps({"labels": ["background", "ball", "egg"], "cases": cases, **fields}))
    return path


def entry(n, **fields):
    return {"images": [f"images/case{n}.nii.gz"], "labels": f"labels/case{n}.nii.gz", **fields}


def test_an_unknown_field_of_a_manifest_is_refused(folder):
    with pytest.raises(ContractError, match=r"unknown fields speling"):
        read_dataset(manifest(folder, [entry(0)], speling=1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instances": "false"}, "instances is 'false'; wanted true or false"),
        ({"classes": {"2": -1}}, "classes has -1; a class is 0 or more"),
        ({"classes": {"a": 1}}, "invalid literal"),
        ({"synthesis": {"deformation": {"control_mm": 0}}}, "control_mm is 0; wanted above 0"),
        (
            {"cases": [{"image": "images/case0.nii.gz", "labels": "labels/case0.nii.gz"}]},
            "unknown fields image",
        ),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(folder, fields, message):
    with pytest.raises(ContractError, match=message):
        read_dataset(manifest(folder, **{"cases": [entry(0)], **fields}))


@pytest.mark.parametrize(
    "listed",
    [
        {"training": [], "modality": "CT"},
        {"training": [], "labels": ["background", "ball"]},
        {"file_ending": ".nii.gz", "channel_names": {"0": "CT"}},
        {"file_ending": ".nii.gz", "channel_names": ["CT"], "labels": {"background": 0}},
    ],
)
def test_a_list_that_its_tool_would_not_write_is_refused(folder, listed):
    (folder / "dataset.json").write_text(json.dumps(listed))
    with pytest.raises(ContractError, match=r"is not as its tool writes it|no case was found"):
        read_dataset(folder / "dataset.json")


def test_a_table_in_another_encoding_is_refused(folder):
    (folder / "cases.csv").write_bytes("image,labels,name\na,b,Müller\n".encode("latin-1"))
    with pytest.raises(ContractError, match="is not text in UTF-8"):
        read_dataset(folder / "cases.csv")


def test_data_without_anything_to_learn_are_refused(folder):
    path = manifest(folder, [entry(0)], labels=["background"], classes={"1": 0, "2": 0})
    assert "background is the only class" in str(check_dataset(read_dataset(path)).fatal[0])


def test_leakage_is_found_by_content_whatever_the_file(folder):
    # The same voxels in another type and another order of the axes, under another name.
    image, truth = make_phantom(shape=SHAPE, seed=0)
    turned = np.ascontiguousarray(image.array[::-1].astype(np.float64))
    affine = image.affine @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    save(Volume(turned, affine), folder / "images/other.nii.gz")
    save(
        Volume(np.ascontiguousarray(truth.array[::-1]), affine, kind="labels"), folder / "labels/other.nii.gz"
    )
    other = {"images": ["images/other.nii.gz"], "labels": "labels/other.nii.gz"}
    same_split = check_dataset(read_dataset(manifest(folder, [entry(0), other])))
    assert [f.fatal for f in same_split.findings] == [False]
    leak = check_dataset(read_dataset(manifest(folder, [entry(0), {**other, "split": "val"}])))
    assert [f.case for f in leak.fatal] == ["case0, other"]
    assert "one is in train, the other in val" in leak.fatal[0].sentence


def test_leakage_is_found_in_one_of_several_channels_and_in_another_order(folder):
    channels = [{"name": name, "modality": "MR", "unit": "arbitrary"} for name in ("T1", "T2")]

    def leaks(*images):
        cases = [
            entry(n, images=[f"images/case{image}.nii.gz" for image in pair], split="val" if n else "train")
            for n, pair in enumerate(images)
        ]
        return [f.case for f in check_dataset(read_dataset(manifest(folder, cases, channels=channels))).fatal]

    assert leaks((0, 1), (2, 3)) == []
    assert leaks((0, 1), (0, 2)) == leaks((0, 1), (1, 0)) == leaks((0, 1), (2, 0)) == ["case0, case1"]
    assert leaks((0, 1), (0, 2), (0, 3)) == []  # an image that all cases have, such as an atlas
    assert leaks((0, 1), (0, 2), (3, 1)) == ["case0, case1", "case0, case2"]


def test_grids_that_differ_and_labels_that_nobody_named_are_found(folder):
    image, truth = make_phantom(shape=SHAPE, seed=9, labels=2)
    shifted = image.affine.copy()
    shifted[0, 3] += 2
    save(Volume(image.array, shifted), folder / "images/case0.nii.gz")
    save(Volume(truth.array * 3, truth.affine, kind="labels"), folder / "labels/case1.nii.gz")
    sentences = {
        f.case: f.sentence for f in check_dataset(read_dataset(manifest(folder, [entry(0), entry(1)]))).fatal
    }
    assert "are not on one grid" in sentences["case0"]
    assert "label values 3, 6 are not among the 3 classes" in sentences["case1"]


def test_a_class_that_no_training_case_has_is_found(folder):
    path = manifest(folder, [entry(0)], labels=["background", "ball", "egg", "ghost"])
    assert "no training case has the class 3 (ghost)" in str(check_dataset(read_dataset(path)).fatal[0])


def test_images_that_the_model_would_refuse_are_found_before_it_is_trained(folder):
    save(Volume(np.full(SHAPE, 7, np.float32), np.eye(4)), folder / "images/case0.nii.gz")
    mr = medseg.load(SAMPLES / "dicom/head_pd_raw")
    classes = np.random.default_rng(0).integers(3, size=mr.shape).astype(np.uint8)
    save(Volume(classes, mr.affine, kind="labels"), folder / "labels/mr.nii.gz")
    series = {"name": "mr", "images": str(SAMPLES / "dicom/head_pd_raw"), "labels": "labels/mr.nii.gz"}
    ct = [{"name": "abdomen", "modality": "CT", "unit": "HU"}]
    path = manifest(folder, [entry(0), series, entry(2)], channels=ct)
    fatal = {f.case: f.sentence for f in check_dataset(read_dataset(path)).fatal}
    assert fatal.keys() == {"case0", "mr"}
    assert "got the one value 7.0 everywhere" in fatal["case0"]
    assert "modality of abdomen: got MR, wanted CT; say what each channel is" in fatal["mr"]
    assert check_dataset(read_dataset(manifest(folder, [series, entry(2)]))).fatal == ()


def test_several_channels_are_not_painted(folder):
    channels = [{"name": name, "modality": "MR", "unit": "arbitrary"} for name in ("T1", "T2")]
    cases = [entry(n, images=[f"images/case{n}.nii.gz", f"images/case{n + 1}.nii.gz"]) for n in range(2)]
    for fields, fatal in (
        ({}, []),
        ({"synthesis": {}}, ["synthesis paints images of one channel, and these have 2"]),
    ):
        report = check_dataset(read_dataset(manifest(folder, cases, channels=channels, **fields)))
        assert [finding.sentence for finding in report.fatal] == fatal


def test_labels_go_by_their_values_in_whatever_order_they_stand(folder):
    labels = ["background", {"name": "egg", "value": 2}, {"name": "ball", "value": 1}]
    dataset = read_dataset(manifest(folder, [entry(0)], labels=labels))
    assert [(label.value, label.name) for label in dataset.labels] == [
        (0, "background"),
        (1, "ball"),
        (2, "egg"),
    ]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["background", "ball", {"name": "egg", "value": 5}], "have the values 0, 1, 5; wanted 0"),
        ([{"name": "ball", "value": 1}, {"name": "egg", "value": 2}], "have the values 1, 2; wanted 0"),
        (["background", "ball", "ball"], "several labels are called ball"),
    ],
)
def test_labels_that_no_network_could_tell_apart_are_refused(folder, labels, sentence):
    with pytest.raises(ContractError, match=sentence):
        read_dataset(manifest(folder, [entry(0)], labels=labels))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("left kidney", "right kidney"),
        ("kidney_left", "kidney_right"),
        ("Hippocampus L", "Hippocampus R"),
        ("ctx-lh-cuneus", "ctx-rh-cuneus"),
        ("l_orbit", "r_orbit"),
        ("nodule L left", "nodule L right"),
    ],
)
def test_labels_named_for_sides_change_in_a_mirror(folder, one, other):
    path = manifest(folder, [entry(0)], labels=["background", one, other])
    assert mirrored_pairs(read_dataset(path).labels) == ((1, 2),)


@pytest.mark.parametrize(
    ("one", "other"), [("lobe", "robe"), ("L4", "R4"), ("left kidney", "liver"), ("l", "x")]
)
def test_labels_of_other_names_stay_in_a_mirror(folder, one, other):
    path = manifest(folder, [entry(0)], labels=["background", one, other])
    assert mirrored_pairs(read_dataset(path).labels) == ()


def test_permissions_are_for_the_readers_of_all_files_and_an_unknown_one_is_refused(folder):
    file = folder / "images/case3.nii.gz"
    holed = medseg.load(file)
    voxels = holed.array.astype(np.float32)
    voxels[2, 3, 4] = np.nan
    file.unlink()
    save(holed.with_array(voxels), file)
    (refused,) = check_dataset(read_dataset(folder)).fatal
    assert refused.case == "case3"
    assert "--allow nonfinite=0" in refused.sentence
    allowed = read_dataset(folder, permissions={"nonfinite": "7"})
    assert check_dataset(allowed).fatal == ()
    image = {case.name: case for case in allowed.cases}["case3"].read_images()[0]
    assert image.array[2, 3, 4] == 7
    with pytest.raises(OptionError, match="--allow holes: no reader of these inputs has it"):
        read_dataset(folder, permissions={"holes": "7"})


def test_a_decathlons_image_of_several_modalities_is_a_file_with_a_volume_for_each(tmp_path):
    """As of its brain tumours and its prostate: FLAIR, T1w and so on along a fourth axis."""
    image, truth = make_phantom(shape=SHAPE, seed=0)
    voxels = np.stack([image.array, 2 * image.array, 3 * image.array], axis=-1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), tmp_path / "a.nii.gz")
    save(truth, tmp_path / "a_labels.nii.gz")
    listed = {
        "name": "BRATS",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd"},
        "labels": {"0": "background", "1": "edema", "2": "tumour"},
        "training": [{"image": "./a.nii.gz", "label": "./a_labels.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    dataset = read_dataset(tmp_path)
    assert check_dataset(dataset).fatal == ()
    for factor, read in zip((1, 2, 3), dataset.cases[0].read_images(), strict=True):
        np.testing.assert_allclose(read.array, factor * image.array, rtol=1e-6)
