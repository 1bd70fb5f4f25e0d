"""Cases of several channels: whose files belong together, and in which order they are given to the model."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from medseg.channels import group_channels, name_channels, split_name
from medseg.cli import main
from medseg.errors import OptionError
from medseg.formats import load, save
from medseg.volume import Volume

WANTED = ["T1w", "FLAIR"]


def grouped(*names):
    found = group_channels([(name, Path(name)) for name in names], WANTED)
    return {group.name: [str(source) for source in group.sources] for group in found if not group.problem}


def problems(*names):
    return [g.problem for g in group_channels([(name, Path(name)) for name in names], WANTED) if g.problem]


@pytest.mark.parametrize(
    "names",
    [
        ("ann_0000", "ann_0001"),
        ("ann_T1w", "ann_FLAIR"),
        ("ann-t1w", "ann.flair"),  # as BraTS and BIDS write them
        ("ann_0000", "ann_flair"),
    ],
)
def test_files_of_one_stem_are_one_case_in_the_order_of_the_model(names):
    assert grouped(*reversed(names)) == {"ann": list(names)}


def test_files_called_by_the_channels_alone_are_the_case_of_their_folder():
    assert grouped("T1w", "flair") == {"": ["T1w", "flair"]}


def test_the_longer_name_of_a_channel_is_meant():
    assert split_name("ann_post_T1", ["T1", "post_T1"]) == ("ann", 1)
    assert split_name("annT1", ["T1"]) == ("annT1", None)


def test_what_is_missing_double_or_unknown_is_a_problem_of_its_case_alone():
    found = problems("ann_0000", "bob_0000", "bob_0001", "cy_0000", "cy_T1w", "cy_0001", "dee")

    assert len(found) == 3
    assert found[0].startswith("channel FLAIR is missing; wanted ann_0000, ann_0001, or ann_T1w, ann_FLAIR;")
    assert found[1].startswith("cy_0000 and cy_T1w are both channel T1w of this case")
    assert found[2].startswith("its name says none of the model's channels; wanted dee_0000, dee_0001")


def test_named_channels_come_in_the_order_of_the_model():
    given = [("flair", Path("b")), ("0000", Path("a"))]
    assert name_channels(given, WANTED) == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["T1w"], "the model also wants FLAIR; add --channel FLAIR=PATH"),
        (["T1w", "0000", "FLAIR"], "--channel 0000: this channel is given twice"),
        (["T1w", "T2"], "--channel T2: the model has no such channel; it has T1w, FLAIR"),
        (["T1w", "ann_FLAIR"], "--channel ann_FLAIR: the model has no such channel"),
    ],
)
def test_named_channels_must_be_those_of_the_model(names, sentence):
    with pytest.raises(OptionError, match=sentence):
        name_channels([(name, Path(name)) for name in names], WANTED)


@pytest.fixture
def two_cases(tmp_path):
    """ann and bob, whose bright voxels are where T1w + 10 FLAIR exceeds 100."""
    chance = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    truths = {}
    for case in ("ann", "bob"):
        t1w, flair = chance.integers(0, 90, (2, 17, 16, 18)).astype(np.int16)
        for number, array in enumerate((t1w, flair)):
            save(Volume(array, np.eye(4)), tmp_path / "in" / f"{case}_{number:04d}.nii.gz")
        truths[case] = t1w + 10 * flair > 100
    return truths


def segment(*arguments):
    return CliRunner().invoke(main, ["segment", "-m", "tiny:pair", *map(str, arguments)])


def test_a_folder_in_the_way_of_nnunet_is_segmented(tiny, two_cases, tmp_path):
    done = segment(tmp_path / "in", "-o", tmp_path / "out")

    assert done.exit_code == 0, done.output
    for case, truth in two_cases.items():
        mask = load(tmp_path / "out" / f"{case}.nii.gz", kind="labels")
        assert np.array_equal(mask.array, truth)


def test_one_case_is_named_channel_by_channel(tiny, two_cases, tmp_path):
    channels = [f"--channel={name}={tmp_path}/in/ann_{n:04d}.nii.gz" for n, name in enumerate(WANTED)]

    done = segment(*reversed(channels), "-o", tmp_path / "mask.nii.gz")

    assert done.exit_code == 0, done.output
    assert np.array_equal(load(tmp_path / "mask.nii.gz", kind="labels").array, two_cases["ann"])
    assert segment(*channels, "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "ann.nii.gz").exists()


def test_a_case_without_one_of_its_channels_is_refused_and_the_others_are_done(tiny, two_cases, tmp_path):
    (tmp_path / "in" / "bob_0001.nii.gz").unlink()

    done = segment(tmp_path / "in", "-o", tmp_path / "out")

    assert done.exit_code == 1
    assert "REFUSED bob: channel FLAIR is missing; wanted bob_0000, bob_0001" in done.output
    assert sorted(path.name for path in (tmp_path / "out").glob("a*")) == ["ann.json", "ann.nii.gz"]
    assert not list((tmp_path / "out").glob("bob*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["in", "--channel", "T1w=in"], "INPUT and --channel were both given"),
        (["--channel", "T1w"], "--channel T1w: wanted NAME=PATH"),
        (["--channel", "T1w=nowhere"], "--channel T1w=nowhere: wanted NAME=PATH, of a file or folder"),
        (["--channel", "T1w=in"], "the model also wants FLAIR"),
    ],
)
def test_wrong_usage_of_channels_says_what_is_wanted(
    tiny, two_cases, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)

    done = segment(*arguments, "-o", tmp_path / "out")

    assert done.exit_code == 2, done.output
    assert sentence in done.output
