"""Surfaces of labels, closed and in RAS+ mm, and the files that hold them: STL, OBJ and PLY."""
