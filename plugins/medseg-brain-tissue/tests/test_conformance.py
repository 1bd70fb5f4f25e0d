from medseg.testing import conformance

test_conformance = conformance("brain-tissue")
