#!/usr/bin/env bash
# An environment with nnU-Net v2 of its own, for benchmarks and for recording what tests compare with.
#   benchmarks/peers/nnunet_environment.sh FOLDER
# The torch that medseg is tested with is asked for first, so that both tools run on the same one.
set -euo pipefail
folder=${1:?wanted the folder to make the environment in, outside the repository}
torch=$(grep '^torch==' "$(dirname "$0")/../../requirements.txt")
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet "$torch" nnunetv2==2.8.1
"$folder/bin/python" -c "import torch, importlib.metadata as m; print('torch', torch.__version__, 'nnunetv2', m.version('nnunetv2'))"
