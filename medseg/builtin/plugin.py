"""What the core offers through its own hooks. This module imports nothing heavy."""

from collections.abc import Iterator
from typing import Literal

from medseg.builtin.losses.descriptions import LOSSES
from medseg.builtin.metrics.descriptions import METRICS
from medseg.plugin import Backend, Export, Format, Loss, Metric, Precision, Step, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_formats() -> Iterator[Format]:
    """NIfTI."""
    yield Format(
        name="nifti",
        factory="medseg.builtin.nifti:read",
        write="medseg.builtin.nifti:write",
        sniff="medseg.builtin.nifti:sniff",
        suffixes=(".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
        summary="NIfTI-1 and NIfTI-2, single files and pairs, plain or gzipped",
        reference="https://nifti.nimh.nih.gov",
    )


@hookimpl
def medseg_exports() -> Iterator[Export]:
    """Tables of label names and colours."""
    yield Export(
        name="slicer-colours",
        factory="medseg.builtin.label_tables:write_slicer_colours",
        suffix=".ctbl",
        summary="Names and colours of the labels for 3D Slicer",
    )
    yield Export(
        name="itksnap-labels",
        factory="medseg.builtin.label_tables:write_itksnap_labels",
        suffix=".labels.txt",
        summary="Names and colours of the labels for ITK-SNAP",
    )


@hookimpl
def medseg_losses() -> tuple[Loss, ...]:
    """The losses of the surveys."""
    return LOSSES


@hookimpl
def medseg_metrics() -> tuple[Metric, ...]:
    """Overlap, surfaces, volumes and pieces."""
    return METRICS


@hookimpl
def medseg_backends() -> Iterator[Backend]:
    """Torch in several ways, and engines that are further packages."""
    both, cpu, cuda = ("cpu", "cuda"), ("cpu",), ("cuda",)
    kinds: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
        ("eager", "backends:eager", both, "Torch as it is: the reference"),
        ("channels-last", "backends:channels_last", both, "Torch with channels side by side in memory"),
        ("compile", "backends:compiled", both, "Torch compiled for the shape; minutes to begin with"),
        ("openvino", "openvino_backends:openvino", cpu, "OpenVINO in float32; needs the package openvino"),
        (
            "onnxruntime",
            "onnx_backends:onnxruntime",
            cpu,
            "ONNX Runtime in float32; needs onnxruntime and onnx",
        ),
        (
            "tensorrt",
            "onnx_backends:tensorrt",
            cuda,
            "TensorRT in float32; needs onnxruntime-gpu, tensorrt and onnx",
        ),
    )
    for name, factory, devices, summary in kinds:
        yield Backend(name=name, factory=f"medseg.builtin.{factory}", summary=summary, devices=devices)
    lower: tuple[tuple[str, str, tuple[str, ...], Precision, str], ...] = (
        ("autocast", "backends:autocast", cuda, "float16", "Torch in float16 where that is safe"),
        (
            "autocast-bfloat16",
            "backends:autocast_bfloat16",
            cuda,
            "bfloat16",
            "Torch in bfloat16 where that is safe",
        ),
        (
            "openvino-float16",
            "openvino_backends:openvino_float16",
            cpu,
            "float16",
            "OpenVINO in float16, where the processor has it",
        ),
        (
            "openvino-bfloat16",
            "openvino_backends:openvino_bfloat16",
            cpu,
            "bfloat16",
            "OpenVINO in bfloat16, where the processor has it",
        ),
        (
            "openvino-int8",
            "openvino_backends:openvino_int8",
            cpu,
            "int8",
            "OpenVINO in int8; needs openvino and nncf",
        ),
    )
    for name, factory, devices, precision, summary in lower:
        yield Backend(
            name=name,
            factory=f"medseg.builtin.{factory}",
            summary=summary,
            devices=devices,
            precision=precision,
        )


@hookimpl
def medseg_steps() -> Iterator[Step]:
    """Intensities before the network, pieces and holes after it."""
    stages: tuple[tuple[Literal["pre", "post"], str, str], ...] = (
        ("pre", "clip", "Limit values to a range"),
        ("pre", "clip-percentiles", "Limit values to two percentiles of the volume"),
        ("pre", "zscore", "Zero mean, unit standard deviation"),
        ("pre", "scale", "Multiply, then add"),
        ("pre", "rescale", "Map minimum and maximum to two numbers"),
        ("post", "largest-component", "Keep the largest piece of each label"),
        ("post", "fill-holes", "Fill enclosed background, label by label"),
    )
    for stage, name, summary in stages:
        factory = f"medseg.builtin.steps:{name.replace('-', '_')}"
        yield Step(name=name, factory=factory, summary=summary, stage=stage)
    yield Step(
        name="main-body",
        factory="medseg.builtin.main_body:main_body",
        summary="Keep the largest piece of all labels together, cut off at thin bridges",
        stage="post",
    )
