"""DICOM series for medseg: ``listing.list_series`` says what a folder holds, ``reader.read`` reads one.

Empty on purpose: whatever stood here would be imported whenever the plugins are listed.
"""
