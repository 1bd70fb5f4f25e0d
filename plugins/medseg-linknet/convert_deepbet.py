"""Turn deepbet's state dictionaries (safetensors, float32) into this plugin's, as float16.

    python convert_deepbet.py deepbet_bbox_model.safetensors brain-locator.safetensors
    python convert_deepbet.py deepbet_model.safetensors brain-mask.safetensors

Names change, values do not: every one of these weights is a float16 number already.
"""

import re
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

RENAMES = (
    (r"init\.0\.", "stem.0."),
    (r"down(\d)\.block1\.", r"encoders.\1.0."),
    (r"down(\d)\.block2\.", r"encoders.\1.1."),
    (r"double_conv", "body"),
    (r"downsample", "shortcut"),
    (r"up(\d)\.conv1\.0", lambda m: f"decoders.{3 - int(m[1])}.0"),
    (r"up(\d)\.tp_conv\.0", lambda m: f"decoders.{3 - int(m[1])}.3"),
    (r"up(\d)\.conv2\.0", lambda m: f"decoders.{3 - int(m[1])}.6"),
    (r"^tp_conv1\.0", "final.0"),
    (r"^conv\.0", "final.3"),
    (r"^tp_conv2", "score"),
)


def rename(key: str) -> str:
    """Deepbet's name of a tensor -> ours."""
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def convert(source: Path, *, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """Read deepbet's tensors under our names."""
    tensors = {rename(key): tensor for key, tensor in load_file(source).items()}
    if any(not torch.equal(tensor, tensor.to(dtype).to(tensor.dtype)) for tensor in tensors.values()):
        raise ValueError(f"{source.name} holds numbers that {dtype} cannot; store it as it is")
    return {key: tensor.to(dtype) for key, tensor in tensors.items()}


if __name__ == "__main__":
    save_file(convert(Path(sys.argv[1])), sys.argv[2], metadata={"licence": "MIT", "source": "deepbet 1.0.2"})
