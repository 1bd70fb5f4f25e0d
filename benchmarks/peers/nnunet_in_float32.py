"""nnU-Net's own prediction with one change: windows are added up in float32; for its environment.

    peer/bin/python benchmarks/peers/nnunet_in_float32.py IMAGE MODEL_FOLDER OUT [--mirror]

nnU-Net adds windows up in float16, and rounds resampled scores to it. Where two scores are equal to its few
digits, its labels are chance. Its source is read here with the two numbers replaced, so that what another
tool differs by can be told from what the rounding does. OUT is without ``.nii.gz``.
"""

import argparse
import functools
import inspect
import types

import torch
from nnunetv2.inference import predict_from_raw_data as original
from nnunetv2.inference.sliding_window_prediction import compute_gaussian


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--mirror", action="store_true")
    given = parser.parse_args()
    source = inspect.getsource(original)
    assert source.count("dtype=torch.half") == 2
    module = types.ModuleType("predict_in_float32")
    exec(source.replace("dtype=torch.half", "dtype=torch.float32"), module.__dict__)  # noqa: S102  # nnU-Net's own
    module.compute_gaussian = functools.partial(compute_gaussian.__wrapped__, dtype=torch.float32)
    module.compute_gaussian.cache_clear = lambda: None
    predictor = module.nnUNetPredictor(use_mirroring=given.mirror, device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(given.folder, None)
    predictor.predict_from_files_sequential([[given.image]], [given.out])


if __name__ == "__main__":
    main()
