"""Write an nnU-Net v2 model folder with nnU-Net's own classes; runs in the environment that has it.

    peer/bin/python benchmarks/peers/write_nnunet_model.py head.nii.gz FOLDER --case mri --folds 2

The weights are nnU-Net's own random ones (He), but for the last layer. With a random one, scores of classes
lie so close together that labels are decided by the last bits of float16, in which nnU-Net blends windows. So
the last layer is fitted, by least squares on one window of the image, to scores of +4 for a voxel's class and
-4 for the others, where the classes are ranges of the intensity.

With ``--weights RUN/weights.safetensors`` the weights are those of a network of the same plans that medseg
has trained (``benchmarks/train_nnunet_network.sh``). It sees axes along right, anterior and superior, and
nnU-Net turns them round; so the kernels are turned round as well, and images have to lie that way.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

QUANTILES = (0.5, 0.85)  # of the window: background below, then the two labels
CT = {"mean": 40.0, "std": 150.0, "percentile_00_5": -900.0, "percentile_99_5": 900.0}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mirrored": {"mirror": (0, 1, 2)},
    "thick": {"first": ([1, 3, 3], [1, 2, 2])},  # kernel of the first stage, stride of the second
    "transposed": {"transpose": [1, 0, 2], "mirror": (0, 2), "first": ([3, 1, 3], [2, 1, 2])},
    "ct": {"channel": "CT", "scheme": "CTNormalization"},
    "masked": {"mask": True},
    "regions": {"labels": {"background": 0, "all": [1, 2], "inner": [2]}, "order": [1, 2]},
    "residual": {"network": "ResidualEncoderUNet"},
    "old": {"old": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", choices=CASES, default="mri")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--spacing", type=float, nargs=3, default=[1.5, 1.5, 1.5], help="the plans' order")
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    case = CASES[given.case]
    given.folder.mkdir(parents=True)
    plans, dataset = plans_of(case, given), dataset_of(case)
    trained = load_file(given.weights) if given.weights else None
    if trained:
        classes = len(next(t for name, t in trained.items() if "seg_layers" in name))
        dataset["labels"] = {"background": 0, **{f"class {n}": n for n in range(1, classes)}}
    (given.folder / "plans.json").write_text(json.dumps(plans, indent=1))
    (given.folder / "dataset.json").write_text(json.dumps(dataset, indent=1))
    manager = PlansManager(plans)
    window = middle_of(given.image, manager, dataset)
    for fold in range(given.folds):
        torch.manual_seed(fold)
        network = network_of(manager, dataset)
        if trained:
            take_weights(network, trained)
        else:
            fit_last_layer(network.eval(), window, regions="regions_class_order" in dataset)
        place = given.folder / f"fold_{fold}"
        place.mkdir()
        torch.save(checkpoint_of(network, plans, dataset, fold, case), place / "checkpoint_final.pth")


def plans_of(case: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    stages = len(given.features)
    strides = [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)]
    kernels = [[3, 3, 3]] * stages
    if "first" in case:
        kernels[0], strides[1] = case["first"]
    factor = np.prod(strides, axis=0)
    patch = [int(given.patch // f * f) for f in factor]
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    values = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": [128.0, 128.0, 128.0],
        "spacing": given.spacing,
        "normalization_schemes": [case.get("scheme", "ZScoreNormalization")],
        "use_mask_for_norm": [case.get("mask", False)],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"order": 3, **resampling},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"order": 1, **resampling},
        "batch_dice": False,
        **network_plan(case, given.features, kernels, strides),
    }
    transpose = case.get("transpose", [0, 1, 2])
    return {
        "dataset_name": f"Dataset900_{given.case}",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": values["spacing"],
        "original_median_shape_after_transp": [128, 128, 128],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": transpose,
        "transpose_backward": [transpose.index(axis) for axis in range(3)],
        "configurations": {"3d_fullres": values},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**CT, "max": 3000.0, "median": 40.0, "min": -1024.0}
        },
    }


def network_plan(
    case: dict[str, Any], features: list[int], kernels: list[list[int]], strides: list[list[int]]
) -> dict[str, Any]:
    stages = len(features)
    if case.get("old"):  # as nnU-Net wrote it before 2.3, and as TotalSegmentator's plans are
        return {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": features[0],
            "unet_max_num_features": max(features),
            "n_conv_per_stage_encoder": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "num_pool_per_axis": [stages - 1] * 3,
            "pool_op_kernel_sizes": strides,
            "conv_kernel_sizes": kernels,
        }
    name = case.get("network", "PlainConvUNet")
    plain = name == "PlainConvUNet"
    arguments = {
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels,
        "strides": strides,
        "n_conv_per_stage" if plain else "n_blocks_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2 if plain else 1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
    }


def dataset_of(case: dict[str, Any]) -> dict[str, Any]:
    found = {
        "channel_names": {"0": case.get("channel", "T1w")},
        "labels": case.get("labels", {"background": 0, "middle": 1, "bright": 2}),
        "numTraining": 0,
        "file_ending": ".nii.gz",
    }
    return {**found, "regions_class_order": case["order"]} if "order" in case else found


def network_of(manager: PlansManager, dataset: dict[str, Any]) -> torch.nn.Module:
    values = manager.get_configuration("3d_fullres")
    return get_network_from_plans(
        values.network_arch_class_name,
        values.network_arch_init_kwargs,
        values.network_arch_init_kwargs_req_import,
        len(dataset["channel_names"]),
        manager.get_label_manager(dataset).num_segmentation_heads,
        allow_init=True,
        deep_supervision=False,
    )


def middle_of(image: Path, manager: PlansManager, dataset: dict[str, Any]) -> torch.Tensor:
    """One window (1,C,*S) in the middle of the image, as nnU-Net prepares it."""
    values = manager.get_configuration("3d_fullres")
    data, *_ = DefaultPreprocessor(verbose=False).run_case([str(image)], None, manager, values, dataset)
    short = [max(0, size - n) for size, n in zip(values.patch_size, data.shape[1:], strict=True)]
    data = np.pad(data, [(0, 0), *((0, n) for n in short)])
    starts = [(n - size) // 2 for n, size in zip(data.shape[1:], values.patch_size, strict=True)]
    box = tuple(slice(a, a + size) for a, size in zip(starts, values.patch_size, strict=True))
    return torch.from_numpy(np.ascontiguousarray(data[(slice(None), *box)][None]))


def take_weights(network: torch.nn.Module, trained: dict[str, torch.Tensor]) -> None:
    """Load what medseg calls by the same names; coarser scores, of deep supervision, stay as they are."""
    turned = {
        name: (t.permute(0, 1, 4, 3, 2) if t.ndim == 5 else t).float().contiguous()
        for name, t in trained.items()
    }
    _, unknown = network.load_state_dict(turned, strict=False)
    if unknown:
        raise SystemExit(f"the network of these plans has no {', '.join(unknown)}")


@torch.inference_mode()
def fit_last_layer(network: torch.nn.Module, window: torch.Tensor, *, regions: bool) -> None:
    layer = network.decoder.seg_layers[-1]
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    network(window)
    hook.remove()
    features = seen[0][0].flatten(1).double().T
    features = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
    values = gaussian_filter(window[0, 0].numpy(), 0.5)
    kinds = torch.from_numpy(np.digitize(values, np.quantile(values, QUANTILES))).flatten()
    wanted = torch.stack([kinds >= 1, kinds >= 2] if regions else [kinds == n for n in range(3)], dim=1)
    ridge = 1e-3 * len(features) * torch.eye(features.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(features.T @ features + ridge, features.T @ (wanted.double() * 8 - 4))
    layer.weight.copy_(solved[:-1].T.reshape(layer.weight.shape))
    layer.bias.copy_(solved[-1])


def checkpoint_of(
    network: torch.nn.Module, plans: dict[str, Any], dataset: dict[str, Any], fold: int, case: dict[str, Any]
) -> dict[str, Any]:
    """The keys and kinds of values that nnUNetTrainer.save_checkpoint writes."""
    optimiser = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True)
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": optimiser.state_dict(),
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "epoch_start_timestamps": [1.0]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1000,
        "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": fold, "dataset_json": dataset},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": case.get("mirror"),
    }


if __name__ == "__main__":
    main()
