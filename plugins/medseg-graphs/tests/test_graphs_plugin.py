"""The promises of the plugin API, but for those of a network that exists before a file is imported."""

from medseg.testing import conformance

WITHOUT_A_FILE = (
    "every-voxel-is-scored",
    "scores-are-raw",
    "gradient-reaches-every-parameter",
    "evaluation-is-repeatable",
    "cases-of-a-batch-are-independent",
    "weights-can-be-stored",
    "other-sizes-work-or-are-refused",
    "global-state-is-left-alone",
)

test_conformance = conformance(
    "graphs",
    expected_failures={
        f"architecture/{name}/{check}": "the network is the file that a user imports"
        for name in ("onnx", "torchscript")
        for check in WITHOUT_A_FILE
    },
)
