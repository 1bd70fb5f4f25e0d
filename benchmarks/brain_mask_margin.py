"""How the margin around the located brain changes the brain's volume; see docs/decisions/0003.

python benchmarks/brain_mask_margin.py
"""

import dataclasses

import torch

import medseg
from medseg.samples import find_sample

# mL, measured with the original program (deepbet 1.0.2).
KNOWN = {
    "s1_t1_head_defaced": 1603.5,
    "colin27_t1_head": 1956.5,
    "itk_t1_head_2x2x3mm": 1522.7,
    "tumour1_t1gd_head": 1705.0,
}

torch.set_num_threads(2)
model = medseg.load_model("brain-mask", device="cpu")
heads = {name: medseg.load(find_sample(f"{name}.nii.gz")) for name in KNOWN}
given = model.description
print("| margin a side | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
for margin in (0.0, 0.025, 0.05, 0.075, 0.1):
    locator = dataclasses.replace(given.input.locator, margin=margin)
    model.description = dataclasses.replace(given, input=dataclasses.replace(given.input, locator=locator))
    cells = []
    for name, head in heads.items():
        ml = model.segment(head).measures[0].ml
        cells.append(f"{ml:.1f} mL ({ml / KNOWN[name] - 1:+.2%})")
    print(f"| {margin:.3f} | " + " | ".join(cells) + " |", flush=True)
