"""A copy without the patient: nothing planted is left, everything measured is."""

import os
import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from medseg_dicom.deidentify import deidentify
from medseg_dicom.profile import TECHNICAL, action_for
from medseg_dicom.reader import read
from pydicom.config import IGNORE
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.formats import deidentify as deidentify_any

# Long enough, or with a point, so as not to be found by chance among the digits of new UIDs.
PLANTED = re.compile(rb"DOE|JANE|MRN4711|19700101|111213\.1415|D\0O\0E\0|J\0A\0N\0E\0")
TEXTS = {
    "PN": "DOE^JANE", "LO": "DOE JANE MRN4711", "SH": "MRN4711", "LT": "JANE DOE", "ST": "DOE", "UT": "JANE",
    "UC": "JANE", "AE": "DOE", "DA": "19700101", "DT": "19700101120000", "TM": "111213.1415",
    "UR": "http://doe/JANE", "OB": b"DOE JANE", "UN": b"JANE",
}  # fmt: skip
KEPT = {tag_for_keyword(keyword) for keyword in TECHNICAL}


def plant(dataset, number=0):
    """The patient wherever a text, a time or bytes can be, but where a machine is described."""
    for tag, (vr, *_) in DicomDictionary.items():
        group = tag >> 16
        if vr in TEXTS and group not in (0, 2, 0x7FE0, 0xFFFE) and tag not in dataset and tag not in KEPT:
            dataset.add_new(tag, vr, TEXTS[vr])
    for number_of_block, (vr, text) in enumerate(TEXTS.items()):
        dataset.private_block(0x0011, "DOE JANE", create=True).add_new(number_of_block, vr, text)
    dataset.add_new(0x60000022, "LO", "DOE JANE")  # an overlay's description
    dataset.add_new(0x50003000, "OB", b"DOE JANE")  # a curve
    dataset["BodyPartExamined"] = DataElement("BodyPartExamined", "CS", "doe JANE", validation_mode=IGNORE)
    dataset.SpecificCharacterSet = "ISO_IR 192"


def plant_deeply(dataset, number):
    plant(dataset)
    item, deeper = Dataset(), Dataset()
    plant(item)
    plant(deeper)
    item.ReferencedInstanceSequence = Sequence([deeper])
    dataset.RequestAttributesSequence = Sequence([item])
    dataset.DerivationCodeSequence = Sequence([item])
    dataset.BurnedInAnnotation = "NO"


def instances(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def test_nothing_planted_in_any_attribute_at_any_depth_is_left(make_series, tmp_path):
    source = make_series("DOE_JANE", edit=plant_deeply)
    assert all(PLANTED.search(path.read_bytes()) for path in source.iterdir())
    notes = deidentify(source, tmp_path / "copy")
    written = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert len(written) == 8
    for path in written:
        assert PLANTED.search(path.read_bytes()) is None
    assert PLANTED.search("".join(map(str, [*written, *notes])).encode()) is None


def test_the_copy_says_by_what_it_was_made(make_series, tmp_path):
    deidentify(make_series(), tmp_path / "copy")
    for dataset in instances(tmp_path / "copy"):
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
        (code,) = dataset.DeidentificationMethodCodeSequence
        assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")


def test_every_voxel_stays_where_it_was_and_as_it_was_encoded(samples, bad, tmp_path):
    folders = [folder for folder in sorted(samples.iterdir()) if folder.is_dir()]
    folders += [
        bad / name for name in ("13_rescale_per_slice", "24_big_endian", "25_deflated", "61_enh_shuffled")
    ]
    for folder in folders:
        copy = tmp_path / folder.name
        deidentify(folder, copy)
        before, after = read(folder), read(copy)
        np.testing.assert_array_equal(after.array, before.array)
        np.testing.assert_array_equal(after.affine, before.affine)
        syntaxes = {dataset.file_meta.TransferSyntaxUID for dataset in instances(copy)}
        originals = [pydicom.dcmread(path) for path in folder.iterdir() if path.is_file()]
        assert syntaxes == {dataset.file_meta.TransferSyntaxUID for dataset in originals}


def test_uids_change_alike_wherever_they_stand(make_series, tmp_path):
    def refer(dataset, number):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, "1.2.3.1"
        dataset.ReferencedImageSequence = Sequence([item])
        dataset.SourceImageSequence = Sequence([item])
        if number == 0:
            dataset.SOPInstanceUID = "1.2.3.1"

    deidentify(make_series(edit=refer), tmp_path / "copy")
    copies = instances(tmp_path / "copy")
    assert len({dataset.SOPInstanceUID for dataset in copies}) == 8
    for uid in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert {str(dataset[uid].value)[:5] for dataset in copies} == {"2.25."}
        assert len({dataset[uid].value for dataset in copies}) == 1
    referred = {item.ReferencedSOPInstanceUID for d in copies for item in d.get("SourceImageSequence", [])}
    assert referred in (set(), {copies[0].SOPInstanceUID})
    assert copies[0].SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in copies)


def test_runs_agree_where_they_share_a_key_and_only_there(make_series, tmp_path):
    source = make_series()
    (tmp_path / "key").write_bytes(bytes(range(32)))
    for name, options in {"a": {"key_file": str(tmp_path / "key")}, "b": {}}.items():
        deidentify(source, tmp_path / f"{name}1", **options)
        deidentify(source, tmp_path / f"{name}2", **options)
    uids = {name: [d.SOPInstanceUID for d in instances(tmp_path / name)] for name in ("a1", "a2", "b1", "b2")}
    assert uids["a1"] == uids["a2"]
    assert len({uid for name in ("a1", "b1", "b2") for uid in uids[name]}) == 24


def test_a_key_that_can_be_guessed_is_not_taken(make_series, tmp_path):
    (tmp_path / "key").write_bytes(b"secret")
    with pytest.raises(OptionError, match="holds 6 bytes; wanted at least 16"):
        deidentify(make_series(), tmp_path / "copy", key_file=str(tmp_path / "key"))


def test_two_patients_stay_two_and_two_series_two_folders(make_series, tmp_path):
    def other(dataset, number):
        dataset.PatientID, dataset.SeriesInstanceUID = "OTHER", "1.2.3.9"
        dataset.SOPInstanceUID = f"1.2.3.9.{number}"

    source = make_series()
    make_series("series/other", edit=other)
    notes = deidentify(source, tmp_path / "copy")
    assert notes[0] == "16 images of 2 series were written."
    assert [path.name for path in sorted((tmp_path / "copy").iterdir())] == ["S001", "S002"]
    assert len({dataset.PatientID for dataset in instances(tmp_path / "copy")}) == 2


@pytest.mark.parametrize(
    ("character_set", "one", "another"), [("ISO_IR 192", "山田", "田中"), ("ISO_IR 100", "Mü1", "Mä1")]
)
def test_patients_whose_ids_have_letters_of_any_script_stay_two(
    character_set, one, another, make_series, tmp_path
):
    def of_two(dataset, number):
        dataset.SpecificCharacterSet = character_set
        dataset.PatientID = one if number % 2 else another

    deidentify(make_series(edit=of_two), tmp_path / "copy")
    patients = [dataset.PatientID for dataset in instances(tmp_path / "copy")]
    assert patients == patients[:2] * 4
    assert patients[0] != patients[1]


def test_an_image_that_says_that_text_is_drawn_into_it_is_refused(bad, tmp_path):
    with pytest.raises(VolumeError, match=r"BurnedInAnnotation \(0028,0301\) is YES.*burned-in=keep"):
        deidentify(bad / "48_phi_private", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
    deidentify(bad / "48_phi_private", tmp_path / "copy", burned_in="keep")
    assert not any(PLANTED.search(path.read_bytes()) for path in (tmp_path / "copy").rglob("*.dcm"))


def test_a_preamble_is_not_copied(bad, tmp_path):
    deidentify(bad / "70_pe_preamble", tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*.dcm"):
        assert path.read_bytes()[:132] == bytes(128) + b"DICM"


def test_what_is_no_image_of_a_scanner_is_left_out_and_counted(make_series, tmp_path):
    source = make_series()
    (source / "JANE.txt").write_text("DOE JANE")
    shot = pydicom.dcmread(source / "IM000.dcm")
    shot.SOPClassUID = shot.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    shot.save_as(source / "screenshot.dcm")
    notes = deidentify(source, tmp_path / "copy")
    assert notes[1] == "2 files that are no CT, MR or PET image were left out."
    assert len(instances(tmp_path / "copy")) == 8


def test_a_damaged_file_is_refused_by_name_and_nothing_is_written(make_series, tmp_path):
    source = make_series()
    path = source / "IM003.dcm"
    for content in (path.read_bytes()[:700], b"\0" * 500):
        path.write_bytes(content)
        with pytest.raises(VolumeError, match=r"^series: file IM003\.dcm: "):
            deidentify(source, tmp_path / "copy")
        assert [entry.name for entry in tmp_path.iterdir()] == ["series"]


def test_a_value_that_cannot_be_read_is_named_by_its_tag_and_not_quoted(make_series, tmp_path):
    source = make_series()
    path = source / "IM000.dcm"
    slope = b"\x28\0\x53\x10DS\4\0"
    path.write_bytes(path.read_bytes().replace(slope + b"1.0 ", slope + b"DOE "))
    with pytest.raises(VolumeError, match=r"\(0028,1053\) is not what") as caught:
        deidentify(source, tmp_path / "copy")
    assert "DOE" not in str(caught.value)


def nested():
    item = Dataset()
    item.PatientName = "DOE^JANE"
    return Sequence([item])


@pytest.mark.parametrize("depth", ["top", "item"])
@pytest.mark.parametrize(
    ("tag", "representation", "value"),
    [
        (0x00280106, "LO", "DOE^JANE"),  # numbers
        (0x00280106, "SQ", nested()),
        (0x00280120, "UT", "DOE^JANE"),
        (0x00281052, "LO", "DOE^JANE"),
        (0x00189087, "OB", b"DOE^JANE"),
        (0x00189087, "SQ", nested()),
        (0x00180015, "SQ", nested()),  # a code
        (0x00080070, "SQ", nested()),  # the machine's maker
        (0x00080070, "OB", b"DOE^JANE"),
        (0x00283000, "OB", b"DOE^JANE"),  # a sequence
        (0x00283000, "LO", "DOE^JANE"),
    ],
)
def test_a_name_in_another_representation_than_that_of_its_tag_is_refused(
    tag, representation, value, depth, make_series, tmp_path
):
    def hide(dataset, number):
        inner = Dataset()
        inner[tag] = DataElement(tag, representation, value)
        if depth == "top":
            dataset[tag] = inner[tag]
        else:
            dataset.DerivationCodeSequence = Sequence([inner])

    named = rf"\({tag >> 16:04x},{tag & 0xFFFF:04x}\) has the representation {representation}; wanted "
    with pytest.raises(VolumeError, match=named) as caught:
        deidentify(make_series(edit=hide), tmp_path / "copy")
    assert "DOE" not in str(caught.value)
    assert not (tmp_path / "copy").exists()


def test_a_number_whose_file_does_not_know_its_representation_stays(make_series, tmp_path):
    def edit(dataset, number):
        dataset.add_new(0x00280106, "US", 7)

    source = make_series(edit=edit)
    tag, value = b"\x28\0\x06\x01", b"\7\0"
    for path in source.iterdir():
        content = path.read_bytes()
        assert tag + b"US\2\0" + value in content
        path.write_bytes(content.replace(tag + b"US\2\0" + value, tag + b"UN\0\0\2\0\0\0" + value))
    deidentify(source, tmp_path / "copy")
    assert [copy.SmallestImagePixelValue for copy in instances(tmp_path / "copy")] == [7] * 8


def test_pixels_whose_file_does_not_know_their_representation_stay(make_series, tmp_path):
    source = make_series(size=(200, 200))  # pydicom takes only what is smaller for what the dictionary says
    expected = read(source)
    for path in source.iterdir():
        content = path.read_bytes()
        assert content.count(b"\xe0\x7f\x10\0OW") == 1
        path.write_bytes(content.replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0UN"))
    deidentify(source, tmp_path / "copy")
    np.testing.assert_array_equal(read(tmp_path / "copy").array, expected.array)


def test_a_folder_that_exists_or_cannot_be_made_is_not_touched(make_series, tmp_path):
    source = make_series()
    with pytest.raises(OptionError, match="exists"):
        deidentify(source, source)
    with pytest.raises(ResourceError, match="Nothing was left behind"):
        deidentify(source, tmp_path / "absent" / "copy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["series"]


def test_the_part_of_a_run_that_was_killed_long_ago_is_swept_by_the_next(make_series, tmp_path):
    stale, fresh = tmp_path / ".part-0123456789ab", tmp_path / ".part-ba9876543210"
    for part in (stale, fresh):
        (part / "S001").mkdir(parents=True)
        (part / "S001" / "IM00001.dcm").write_bytes(b"")
    for path in (*stale.rglob("*"), stale):
        os.utime(path, (0, 0))

    deidentify(make_series(), tmp_path / "copy")

    assert not stale.exists()
    assert fresh.exists()
    assert (tmp_path / "copy").exists()


def test_a_format_without_a_profile_says_what_to_do_instead(tmp_path, samples):
    with pytest.raises(OptionError, match="medseg convert writes a copy with a fresh header"):
        deidentify_any(samples.parent / "colin27_t1_head.nii.gz", tmp_path / "copy")


@pytest.mark.parametrize(
    ("keyword", "action"),
    [
        ("PatientName", "empty"),
        ("PatientComments", "remove"),
        ("SOPInstanceUID", "map"),
        ("SOPClassUID", "keep"),
        ("StudyDate", "empty"),
        ("SeriesDescription", "remove"),
        ("InstitutionName", "replace"),
        ("ReferencedImageSequence", "descend"),
        ("PixelSpacing", "keep"),
        ("PixelData", "keep"),
    ],
)
def test_the_table_of_the_standard_is_followed(keyword, action):
    assert action_for(Tag(keyword)) == action


def test_the_validator_finds_no_error_that_the_source_had_not(samples, bad, tmp_path):
    for folder in (samples / "head_pd_raw", bad / "61_enh_shuffled", bad / "13_rescale_per_slice"):
        deidentify(folder, tmp_path / folder.name)
        before = next(path for path in sorted(folder.iterdir()) if path.is_file())
        after = next((tmp_path / folder.name).rglob("*.dcm"))
        assert errors_of(after) <= errors_of(before)


def errors_of(path):
    """What dciodvfy, the validator of dicom3tools, calls an error."""
    program = shutil.which("dciodvfy")
    assert program, "dciodvfy is missing: apt-get install dicom3tools"
    done = subprocess.run([program, path], capture_output=True, text=True, errors="replace", check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}
