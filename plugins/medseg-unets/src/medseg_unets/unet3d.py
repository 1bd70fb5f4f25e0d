"""3D U-Net.

O. Cicek, A. Abdulkadir, S. S. Lienkamp, T. Brox, O. Ronneberger: 3D U-Net: learning dense volumetric
segmentation from sparse annotation. MICCAI 2016, doi:10.1007/978-3-319-46723-8_49, arXiv:1606.06650.
"""

from medseg_unets.blocks import TRANSPOSED, Norm, check_positive, two_convolutions
from medseg_unets.encoder_decoder import EncoderDecoder, Padding


class UNet3D(EncoderDecoder):
    """3D U-Net, as in figure 2 of the paper.

    Against bottlenecks the channels double before each pooling, in a stage's second convolution, and an
    up-convolution keeps them. A batch norm comes before each ReLU.

    The paper states 19,069,955 parameters for 3 channels and 3 classes, and a learned scale and bias for
    each normalised channel. That number holds one parameter for each of the 2,336 normalised channels;
    with scale and bias it is 19,072,291. ``norm="none"`` (one bias each) has the stated number exactly.
    MONAI has no network with this plan of channels.

    Args:
        in_channels: C.
        out_channels: K, background included.
        dims: 3; the paper's network has no other form.
        width: channels of the first convolution. Paper: 32.
        depth: L, the number of poolings. Paper: 3.
        padding: ``same`` pads each convolution with zeros; ``valid``, as in the paper, pads nothing
            (132 x 132 x 116 -> 44 x 44 x 28); ``mirror`` pads nothing but mirrors the image's borders,
            so that the output has the size of the input.
        norm: before each ReLU. Paper: batch.

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
        depth: int = 3,
        padding: Padding = "same",
        norm: Norm = "batch",
    ) -> None:
        check_positive(width=width, depth=depth)
        zeros = 1 if padding == "same" else 0
        middle = [width * 2**level for level in range(depth + 1)]  # 32 64 128 256
        encoder = [
            two_convolutions(c_in, c, 2 * c, dims=dims, norm=norm, padding=zeros)
            for c_in, c in zip([in_channels, *(2 * c for c in middle)], middle, strict=False)
        ]
        up, decoder = [], []
        for c in reversed(middle[:-1]):
            up.append(TRANSPOSED[dims](4 * c, 4 * c, 2, stride=2, bias=False))
            decoder.append(two_convolutions(2 * c + 4 * c, 2 * c, 2 * c, dims=dims, norm=norm, padding=zeros))
        super().__init__(
            encoder,
            up,
            decoder,
            num_features=2 * width,
            out_channels=out_channels,
            dims=dims,
            padding=padding,
        )
