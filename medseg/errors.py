"""Every error that medseg raises on purpose, as one tree.

::

    MedsegError
    ├── PluginError               a plugin or one of its components cannot be used
    │   ├── UnknownNameError      no such component; the message lists the nearest
    │   └── AmbiguousNameError    a short name that two plugins offer; say plugin:name
    ├── OptionError               an option that the component does not take, or a wrong value
    ├── VolumeError               a file or an array is refused: reading it would be a guess
    ├── ContractError             the volume is sound, but not what this model was made for
    ├── WeightsError              weights are missing, damaged or not the ones that were named
    ├── ResourceError             disk, memory, device or a missing package (exit status 3)
    └── Cancelled                 the caller's token was cancelled

Each says what was found, what was wanted and what to do about it. Those that a
caller would expect as a built-in exception are one as well.
"""


class MedsegError(Exception):
    """The root: ``except MedsegError`` catches whatever medseg raises on purpose."""


class PluginError(MedsegError):
    """A plugin failed to load, broke its promise, or offers a component that cannot be loaded."""


class UnknownNameError(PluginError, LookupError):
    """No installed plugin offers a component of this kind under this name."""


class AmbiguousNameError(PluginError, LookupError):
    """Two plugins offer this short name; the full ``plugin:name`` is needed."""


class OptionError(MedsegError, ValueError):
    """An option is unknown to the component, or its value has the wrong type."""


class VolumeError(MedsegError, ValueError):
    """A volume is refused because its geometry or its values would have to be guessed."""


class ContractError(MedsegError, ValueError):
    """A volume or a model description does not meet the model's contract."""


class WeightsError(MedsegError):
    """Weights are missing, damaged, or their sha256 is not the one the contract names."""


class ResourceError(MedsegError):
    """The environment fell short: disk, memory, device, or a package that is not installed."""


class Cancelled(MedsegError):  # noqa: N818  # it is no error: the caller asked for it
    """The work was cancelled through its token; nothing was written."""
