"""An entry module whose hook imports numpy."""

from medseg.plugin import hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_losses():
    import numpy as np  # the fault

    return np.array([])
