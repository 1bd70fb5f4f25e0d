"""TotalSegmentator's form: five folders of nnU-Net, one model of 117 labels, through the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from medseg_nnunet.checkpoint import read_checkpoint

import medseg
from medseg.cli import main
from medseg.registry import default_registry

DATA = Path(__file__).parent / "data"
COUNTS = (24, 26, 18, 23, 26)  # labels of TotalSegmentator's five models


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()


def part(folder, names, seed):
    """A recorded model with as many classes as names, of other weights in its last layer."""
    shutil.copytree(DATA / "ct", folder, ignore=shutil.ignore_patterns("labels*", "fold_*"))
    dataset = json.loads((folder / "dataset.json").read_text())
    dataset["labels"] = {"background": 0} | {name: n for n, name in enumerate(names, start=1)}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    recorded = read_checkpoint(DATA / "ct/fold_0/checkpoint_final.pth")
    weights = dict(recorded.tensors)
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in recorded.tensors.items():
        if ".seg_layers." in key:
            random = torch.randn(len(names) + 1, *tensor.shape[1:], generator=generator)
            if tensor.ndim == 1:
                random[0] += 5  # a part leaves room for the others
            weights[key] = random
    (folder / "fold_0").mkdir()
    checkpoint = {
        "network_weights": weights,
        "trainer_name": recorded.trainer,
        "init_args": {"configuration": recorded.configuration},
        "inference_allowed_mirroring_axes": recorded.mirror,
    }
    torch.save(checkpoint, folder / "fold_0/checkpoint_final.pth")
    return folder


def run(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done


def test_five_folders_become_one_model_of_117_labels(tmp_path):
    ends = np.cumsum(COUNTS)
    assert ends[-1] == 117
    names = [f"organ-{n}" for n in range(1, 118)]
    folders = [
        part(tmp_path / f"Dataset{291 + n}", names[end - count : end], seed=n)
        for n, (count, end) in enumerate(zip(COUNTS, ends, strict=True))
    ]
    order = names[::-1]  # as TotalSegmentator's own order is not its parts' either
    (tmp_path / "order.txt").write_text("\n".join(order))

    listed = ("--labels", tmp_path / "order.txt", "-o", "orientation=RAS")
    said = run("import", *folders, "--name", "total", *listed).output
    default_registry.cache_clear()
    image, target = DATA / "ct.nii.gz", tmp_path / "organs.nii.gz"
    run("segment", image, "-m", "local:total", "-o", target, "--device", "cpu", "--force")

    expected = np.zeros(medseg.load(image).shape, np.uint8)
    for number, (folder, count, end) in enumerate(zip(folders, COUNTS, ends, strict=True)):
        run("import", folder, "--name", f"alone-{number}", "-o", "orientation=RAS")
        default_registry.cache_clear()
        own = medseg.segment(image, f"local:alone-{number}", device="cpu", force=True).labels.array
        table = np.array([0, *(1 + order.index(name) for name in names[end - count : end])], np.uint8)
        expected[own > 0] = table[own][own > 0]
    found = medseg.load(target, kind="labels")
    np.testing.assert_array_equal(found.array, expected)
    assert "117 labels" in said
    assert len(np.unique(expected)) > 10  # several parts show in it
    record = json.loads((tmp_path / "organs.json").read_text())
    assert len(record["labels"]) == 118
