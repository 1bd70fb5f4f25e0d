"""The promises of the plugin API."""

from medseg.testing import conformance

test_conformance = conformance("monai")
