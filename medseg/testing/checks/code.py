"""Promises of the code that a description names: it is found, and its signature is the schema."""

import inspect
import json

from medseg.errors import OptionError, PluginError
from medseg.options import check_options, options_of
from medseg.testing.expectation import BrokenPromiseError, expect
from medseg.testing.subject import Subject

CALLS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "architecture": (2, ("dims",), "f(in_channels, out_channels, *, dims=3, **options)"),
    "head": (2, ("dims",), "f(num_features, out_channels, *, dims=3, **options)"),
    "loss": (0, (), "f(*, **options)"),
    "metric": (0, (), "f(*, **options)"),
    "format": (1, ("kind",), "read(path, *, kind, **options)"),
    "export": (2, (), "f(result, path, *, **options)"),
    "step": (0, (), "f(*, **options)"),
    "method": (0, (), "f(*, **options)"),
    "backend": (2, (), "f(module, example, *, **options)"),
    "importer": (2, (), "f(source, name, *, **options)"),
}
"""For each kind: how many positional arguments medseg gives, which keywords, and how the docs write it."""


def check_code_is_found(subject: Subject) -> None:
    """Every import string of the description leads to something that can be called."""
    strings = [getattr(subject.component, field, "") for field in ("factory", "write", "sniff", "recognise")]
    for target in (strings[0], *filter(None, strings[1:])):
        try:
            found = subject.registry.load_string(subject.registered, target)
        except PluginError as error:
            raise BrokenPromiseError(f"{error}. Is the import string spelt as the code is?") from error
        expect(
            callable(found),
            got=f"{target!r}, which is {type(found).__name__}",
            wanted="a class or a function",
            remedy="Let the import string name the code itself",
        )


def check_call_is_as_documented(subject: Subject) -> None:
    """The factory takes what medseg gives it, and every other parameter is a keyword-only option.

    Anything else (a positional parameter with a default, ``*args``, ``**kwargs``) would be an option that
    no user can see.
    """
    count, keywords, form = CALLS[subject.registered.kind]
    parameters = list(inspect.signature(subject.factory).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    hidden = [str(p) for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hidden += [str(p) for p in positional[count:]]
    missing = "Give it the parameters that are missing"
    expect(
        len(positional) >= count and not hidden and named.issuperset(keywords),
        got=f"the parameters {inspect.signature(subject.factory)}",
        wanted=f"{form}, each option after the * with a name, a type and a default",
        remedy=f"Not keyword-only: {', '.join(hidden)}" if hidden else missing,
    )


def check_options_are_plain(subject: Subject) -> None:
    """Every option is annotated with an allowed type, and its default is of that type and fits into JSON.

    Allowed are int, float, bool, str, Literal and tuples of those. The command line, the viewer's form and
    a checkpoint's record all read the signature.
    """
    try:
        options = options_of(subject.factory)
    except (OptionError, NameError) as error:
        raise BrokenPromiseError(f"{error}. Annotate it so, or make it no option") from error
    for option in options.values():
        try:
            recorded = json.loads(json.dumps(option.default))
            read = check_options(subject.factory, {option.name: recorded}, owner=subject.name)[option.name]
        except (TypeError, OptionError) as error:
            raise BrokenPromiseError(
                f"got the default {option.default!r} for option {option.name!r}; wanted a value of its type, "
                f"{option.type_name}, that JSON can hold ({error}). Change the default or the annotation"
            ) from error
        expect(
            read == option.default,
            got=f"the default {option.default!r} for option {option.name!r}, read back from JSON as {read!r}",
            wanted="the same value",
            remedy="Change the default or the annotation",
        )
