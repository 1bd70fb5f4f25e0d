"""The promises of the plugin API; those of a network that runs need a file, which a user imports."""

from medseg.testing import conformance

test_conformance = conformance("graphs")
