#!/usr/bin/env bash
# Train a network of the plans that inference_vs_nnunet.py writes, for minutes: enough for a use of int8, which
# random weights do not survive, and for labels that are not decided by the last bits.
#   benchmarks/train_nnunet_network.sh DATA RUN
# DATA holds volumes/ and labels/ with the files that brain_tissue/heads.json names.
set -euo pipefail
heads=$(dirname "$0")/brain_tissue/heads.json
medseg train "$heads" --root "${1:?wanted the folder of the data}" -o "${2:?wanted the folder of the run}" \
  --architecture nnunet:plain-unet -o features=16,32,64,128,256 -o "kernels=3;3;3;3;3" -o "strides=1;2;2;2;2" \
  -o convs=2,2,2,2,2 -o decoder_convs=2,2,2,2 --spacing 1.5 --patch 64 --batch 1 --steps 1500 \
  --synthetic 0.2 --ema 0.99 --precision bf16-mixed
