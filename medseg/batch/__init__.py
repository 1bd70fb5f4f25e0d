"""Many cases through one job: find them, run them to the end whatever dies on the way, resume.

``cases`` and ``manifest`` say what is to be done, ``job`` is what is done with each, ``pipeline`` does it
in one process with reading and writing overlapped, ``worker`` is that process, ``supervisor`` keeps
several of them busy and alive, and ``journal`` remembers in the folder of the results what was done.
"""
