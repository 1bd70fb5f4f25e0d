"""Networks that are files for medseg: ONNX and TorchScript."""
