"""MetaImage and NRRD for medseg."""
