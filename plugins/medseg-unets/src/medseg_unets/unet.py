"""U-Net.

O. Ronneberger, P. Fischer, T. Brox: U-Net: convolutional networks for biomedical image segmentation.
MICCAI 2015, doi:10.1007/978-3-319-24574-4_28, arXiv:1505.04597.
"""

from torch import nn

from medseg_unets.blocks import TRANSPOSED, Norm, check_positive, two_convolutions
from medseg_unets.encoder_decoder import EncoderDecoder, Padding


class UNet(EncoderDecoder):
    """U-Net in 2-D, as in figure 1 of the paper, or with the same layers in 3-D.

    The paper's network is ``dims=2, width=64, padding="valid"``. Where the text and the released weights
    differ (a ReLU after each up-convolution, 128 channels from the last one), this follows the text.
    MONAI's ``BasicUNet`` keeps the channels at the last up-convolution, where the paper halves them.

    Args:
        in_channels: C.
        out_channels: K, background included.
        dims: 2 or 3.
        width: channels of the first stage; they double with each level. Paper: 64.
        depth: L, the number of poolings. Paper: 4.
        padding: ``same`` pads each convolution with zeros; ``valid`` pads nothing and returns the middle
            (572 -> 388), for training on tiles with their surroundings; ``mirror`` is the paper's
            overlap-tile prediction: nothing padded, mirrored borders, same size out as in.
        norm: before each ReLU. Paper: none.
        dropout: at the end of the contracting path (its two deepest stages). The released network: 0.5.

    Raises:
        OptionError: width or depth below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        width: int = 32,
        depth: int = 4,
        padding: Padding = "same",
        norm: Norm = "none",
        dropout: float = 0.5,
    ) -> None:
        check_positive(width=width, depth=depth)
        zeros = 1 if padding == "same" else 0
        channels = [width * 2**level for level in range(depth + 1)]  # 64 128 256 512 1024
        encoder = [
            two_convolutions(c_in, c, c, dims=dims, norm=norm, padding=zeros)
            for c_in, c in zip([in_channels, *channels], channels, strict=False)
        ]
        for stage in encoder[-2:]:
            stage.append(nn.Dropout(dropout))
        up, decoder = [], []
        for c in reversed(channels[:-1]):
            up.append(TRANSPOSED[dims](2 * c, c, 2, stride=2))  # halves the channels
            decoder.append(two_convolutions(2 * c, c, c, dims=dims, norm=norm, padding=zeros))
        super().__init__(
            encoder, up, decoder, num_features=width, out_channels=out_channels, dims=dims, padding=padding
        )
