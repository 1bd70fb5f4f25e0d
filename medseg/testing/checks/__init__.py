"""The promises, one module for each kind of component, one function ``check_*`` for each promise.

A function's docstring is the promise; it takes the subject and returns if the promise is kept. The page
``docs/reference/conformance.md`` is made from these docstrings.
"""
