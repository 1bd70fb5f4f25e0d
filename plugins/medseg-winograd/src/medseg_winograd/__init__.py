"""U-Nets on the CPU, several times faster: Winograd's convolution with norms and activations inside it."""
