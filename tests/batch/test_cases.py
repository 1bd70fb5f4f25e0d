import numpy as np
import pytest

from medseg.batch.alone import run_alone
from medseg.batch.cases import expand_folder, find_cases
from medseg.batch.segmenting import SegmentCases
from medseg.errors import Cancelled, OptionError
from medseg.formats import save
from medseg.progress import CancelToken
from medseg.volume import Volume


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def named(paths):
    return [path.name for path in paths]


def test_a_pair_in_a_folder_is_one_case_named_by_its_header(tmp_path):
    pairs = ("a.hdr", "a.img", "B.HDR", "B.IMG", "c.hdr", "c.img.gz", "d.hdr.gz", "d.img.gz")
    assert named(expand_folder(touch(tmp_path, *pairs))) == ["B.HDR", "a.hdr", "c.hdr", "d.hdr.gz"]


def test_an_image_without_its_header_is_a_case_that_will_be_refused_not_left_out(tmp_path):
    assert named(expand_folder(touch(tmp_path, "lost.img", "a.img.nii", "b.hdr"))) == [
        "a.img.nii",
        "b.hdr",
        "lost.img",
    ]


def test_hidden_files_and_other_files_are_no_cases(tmp_path):
    touch(tmp_path, "._a.nii", ".part-1.nii", "a.nii", "a.json", "notes")
    assert named(expand_folder(tmp_path)) == ["a.nii"]


def test_files_below_are_cases_too_and_named_by_the_way_to_them(tmp_path):
    touch(tmp_path, "a.nii")
    touch(tmp_path / "sub-01" / "anat", "T1w.nii.gz")
    touch(tmp_path / ".hidden", "b.nii")

    cases = find_cases([tmp_path], tmp_path / "out")

    assert [case.name for case in cases] == ["a", "sub-01_anat_T1w"]


def test_links_are_followed_once_and_those_that_lead_nowhere_are_cases_to_be_refused(tmp_path):
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    touch(study / "sub-01", "a.nii")
    touch(elsewhere, "b.nii")
    (study / "c.nii.gz").symlink_to(tmp_path / "not fetched")
    (study / "notes").symlink_to(tmp_path / "not fetched either")
    for name, target in (("sub-02", elsewhere), ("latest", study / "sub-01"), ("home", tmp_path)):
        (study / name).symlink_to(target, target_is_directory=True)
    (elsewhere / "back").symlink_to(study, target_is_directory=True)
    assert [case.name for case in find_cases([study], tmp_path / "out")] == ["c", "sub-01_a", "sub-02_b"]


def test_results_of_a_run_before_within_the_inputs_are_no_inputs_and_those_of_others_are(tmp_path):
    touch(tmp_path, "a.nii.gz")
    for name in ("other", "out"):
        touch(tmp_path / name, "b.nii.gz", "medseg-journal.jsonl")
    cases = find_cases([tmp_path], tmp_path / "out")
    assert [case.sources[0].parent.name for case in cases] == [tmp_path.name, "other"]
    assert len(expand_folder(tmp_path)) == 3


def test_what_comes_beside_a_result_replaces_no_input(tmp_path):
    touch(tmp_path, "a_entropy.nii.gz", "a.nii.gz")
    with pytest.raises(OptionError, match=r"a_entropy\.nii\.gz is an input; choose another place"):
        find_cases(
            [tmp_path / "a_entropy.nii.gz"], tmp_path / "a.nii.gz", beside=("_entropy.nii.gz", ".json")
        )


def grouped(inputs, out):
    return [
        (case.name, [f"{path.parent.name}/{path.name}" for path in case.sources], case.problem)
        for case in find_cases(inputs, out, channels=("T1", "FLAIR"))
    ]


def test_channels_of_two_folders_are_never_one_case(tmp_path):
    jane = touch(tmp_path / "jane", "T1.nii.gz")
    john = touch(tmp_path / "john", "FLAIR.nii.gz")
    for inputs in ([jane, john], [jane / "T1.nii.gz", john / "FLAIR.nii.gz"], [tmp_path]):
        first, second = grouped(inputs, tmp_path / "out")
        assert first[:2] == ("jane", ["jane/T1.nii.gz"])
        assert first[2].startswith("channel FLAIR is missing")
        assert second[:2] == ("john", ["john/FLAIR.nii.gz"])
        assert second[2].startswith("channel T1 is missing")


def test_two_folders_that_hold_a_case_each_are_two_cases_of_their_names(tmp_path):
    folders = [touch(tmp_path / name, "T1.nii.gz", "FLAIR.nii.gz") for name in ("jane", "john")]
    expected = [(name, [f"{name}/T1.nii.gz", f"{name}/FLAIR.nii.gz"], "") for name in ("jane", "john")]
    assert grouped(folders, tmp_path / "out") == expected
    assert grouped([p for folder in folders for p in folder.iterdir()], tmp_path / "out") == expected


def test_what_is_no_channel_is_refused_by_itself_in_each_folder(tmp_path):
    folders = [touch(tmp_path / name, "T1.nii", "FLAIR.nii", "scout.nii") for name in ("jane", "john")]
    found = {name: problem for name, _, problem in grouped(folders, tmp_path / "out")}
    assert [name for name in found if not found[name]] == ["jane", "john"]
    for name in ("jane_scout", "john_scout"):
        assert found[name].startswith("its name says none of the model's channels")


def test_folders_of_one_channel_each_are_refused_with_the_way_to_say_what_belongs_together(tmp_path):
    folders = [touch(tmp_path / channel, f"ann_{channel}.nii") for channel in ("T1", "FLAIR")]
    with pytest.raises(
        OptionError, match=r"channels of ann are in several folders .* list them in a manifest"
    ):
        find_cases(folders, tmp_path / "out", channels=("T1", "FLAIR"))


def test_one_file_name_for_several_cases_is_refused(tmp_path):
    touch(tmp_path, "a.nii", "b.nii")

    with pytest.raises(OptionError, match=r"r\.nii\.gz names one file, but there are 2 cases; name a folder"):
        find_cases([tmp_path], tmp_path / "r.nii.gz")


def test_a_file_that_no_format_writes_is_refused_before_the_work(tmp_path):
    head = touch(tmp_path, "head.nii") / "head.nii"

    with pytest.raises(OptionError, match=r"out\.dcm: the format dicom:dicom can only be read"):
        find_cases([head], tmp_path / "out.dcm")


def test_a_folder_without_volumes_is_wrong_usage(tmp_path):
    with pytest.raises(OptionError, match=r"nothing readable in .*; looked for .*\.nii\.gz"):
        expand_folder(tmp_path)


def test_one_file_goes_to_the_file_that_is_named_or_into_a_folder(tmp_path):
    head = touch(tmp_path, "head.v2.nii.gz") / "head.v2.nii.gz"
    assert find_cases([head], tmp_path / "mask.NII")[0].target == tmp_path / "mask.NII"
    assert find_cases([head], tmp_path / "out")[0].target == tmp_path / "out" / "head.v2.nii.gz"
    (tmp_path / "folder.nii").mkdir()
    assert find_cases([head], tmp_path / "folder.nii")[0].target == tmp_path / "folder.nii" / "head.v2.nii.gz"


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["a.nii", "more/a.nii.gz"], "out", "several inputs are called a; their results would overwrite"),
        (["a.nii", "a.nii"], "out", "several inputs are called a"),
        (["more"], "more", "is an input; choose another place"),
        (["more/a.nii.gz"], "link/a.nii.gz", "is an input"),
        (["more/a.nii.gz"], "more/../more/a.nii.gz", "is an input"),
    ],
)
def test_no_result_replaces_an_input_or_another_result(tmp_path, inputs, out, message):
    touch(tmp_path, "a.nii")
    touch(tmp_path / "more", "a.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "more", target_is_directory=True)
    with pytest.raises(OptionError, match=message):
        find_cases([tmp_path / name for name in inputs], tmp_path / out)


def test_names_that_some_disks_take_for_one_are_refused(tmp_path):
    touch(tmp_path / "one", "x.nii")
    touch(tmp_path / "two", "X.nii")
    with pytest.raises(OptionError, match="several inputs are called X, x; their results would overwrite"):
        find_cases([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    touch(tmp_path / "three", "a.nii", "A_entropy.nii")
    with pytest.raises(
        OptionError, match=r"several cases would write A_entropy\.nii\.gz, a_entropy\.nii\.gz;"
    ):
        find_cases([tmp_path / "three"], tmp_path / "out", beside=(".json", "_entropy.nii.gz"))


def test_two_cases_that_would_write_one_file_are_refused(tmp_path):
    touch(tmp_path, "a.nii", "a_entropy.nii")
    with pytest.raises(OptionError, match=r"several cases would write a_entropy\.nii\.gz; call one"):
        find_cases([tmp_path], tmp_path / "out", beside=(".json", "_entropy.nii.gz"))


@pytest.mark.usefixtures("tiny")
def test_a_cancelled_case_writes_nothing_more(tmp_path):
    head = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    for name in ("a.nii", "b.nii"):
        save(head, tmp_path / name)
    first, second = find_cases([tmp_path / "a.nii", tmp_path / "b.nii"], tmp_path / "out")
    token = CancelToken()
    job = SegmentCases(model="tiny:bright", cancel=token)
    assert run_alone(first, job).status == "done"
    token.cancel()
    with pytest.raises(Cancelled):
        run_alone(second, job)
    assert sorted(named((tmp_path / "out").iterdir())) == ["a.json", "a.nii.gz"]


@pytest.mark.usefixtures("tiny")
def test_the_same_input_gives_the_same_bytes(tmp_path):
    save(Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), tmp_path / "a.nii")
    job = SegmentCases(model="tiny:bright")
    written = []
    for out in ("once", "twice"):
        (case,) = find_cases([tmp_path / "a.nii"], tmp_path / out)
        assert run_alone(case, job).status == "done"
        written.append([path.read_bytes() for path in case.files])
    assert written[0] == written[1]
