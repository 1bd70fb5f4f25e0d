"""Exit statuses, and medseg's errors as a sentence with the right one.

0 all done; 1 some cases were refused (a line REFUSED each on standard error); 2 wrong usage; 3 the
environment fell short.
"""

import errno
import io
import sys
from typing import Any, NoReturn

import click

from medseg.cli.document import DOCUMENT, print_json
from medseg.errors import (
    AmbiguousNameError,
    Cancelled,
    ContractError,
    MedsegError,
    OptionError,
    UnknownNameError,
    VolumeError,
)

REFUSED, USAGE, ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130


class Commands(click.Group):
    """Turns medseg's errors into a sentence and the right exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; end with a sentence and a status where medseg raised an error."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file's name may hold what this terminal cannot show.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (VolumeError, ContractError) as error:
            if DOCUMENT in ctx.meta:
                print_json({"refused": str(error)})
            _stop(f"REFUSED {error}", REFUSED)
        except (OptionError, UnknownNameError, AmbiguousNameError) as error:
            _stop(f"Error: {error}", USAGE)
        except (Cancelled, KeyboardInterrupt):
            _stop("Cancelled; no unfinished result was written.", INTERRUPTED)
        except MedsegError as error:
            _stop(f"Error: {error}", ENVIRONMENT)
        except (OSError, MemoryError, ImportError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on, as in: medseg info . | head
            _stop(f"Error: {type(error).__name__}: {error}", ENVIRONMENT)


def _stop(message: str, status: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)
