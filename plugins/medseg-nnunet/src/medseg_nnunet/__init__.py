"""U-Net, 3D U-Net, Attention U-Net and UNet++ for medseg."""
