"""Networks that behave, chatter, fail and sleep."""

import sys
import time

from torch import nn


class Threshold(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, dims: int = 3, gain: float = 1.0):
        super().__init__()
        self.gain = gain
        self.score = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, image):
        print("what a network prints is not the command's answer")  # noqa: T201  # that is the point
        if image.max() > 1000:
            raise ZeroDivisionError("a fault in the network's code")
        return self.score(self.gain * image)


class Calm(Threshold):
    def forward(self, image):
        return self.score(self.gain * image)  # whatever the values are


class Sleepy(Threshold):
    def forward(self, image):
        sys.stderr.write("the network runs\n")
        sys.stderr.flush()
        time.sleep(60)
        return super().forward(image)
