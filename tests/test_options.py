import functools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.errors import OptionError
from medseg.options import check_options, options_of, parse_pairs


def network(
    in_channels: int,
    out_channels: int,
    *,
    dims: int = 3,
    width: int = 32,
    rate: float = 0.1,
    deep: bool = False,
    act: str = "relu",
    norm: Literal["batch", "instance"] = "batch",
    kernel: tuple[int, int, int] = (3, 3, 3),
    levels: tuple[int, ...] = (1, 2),
    steps: Literal[1, 2] = 1,
    sizes: tuple[tuple[int, ...], ...] = ((3,), (1, 3, 3)),
):
    return locals()


class Head:
    def __init__(self, num_features: int, *, sigma: float = 1.0) -> None:
        self.sigma = sigma


def checked(**options):
    return check_options(network, options, owner="architecture test:network")


def test_the_keyword_only_parameters_are_the_options_but_for_what_the_caller_sets():
    names = ["width", "rate", "deep", "act", "norm", "kernel", "levels", "steps", "sizes"]
    assert list(options_of(network)) == names
    assert str(options_of(network)["sizes"]) == "sizes=3;1,3,3 (int,...;...)"
    assert str(options_of(network)["kernel"]) == "kernel=3,3,3 (int,int,int)"
    assert str(options_of(network)["norm"]) == "norm=batch ('batch'|'instance')"


def test_a_class_is_read_by_its_constructor():
    assert str(options_of(Head)["sigma"]) == "sigma=1.0 (float)"


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("width", "64", 64),
        ("width", "-1", -1),
        ("rate", "1e-4", 1e-4),
        ("rate", "2", 2.0),
        ("deep", "yes", True),
        ("deep", "FALSE", False),
        ("act", "leaky=0.1", "leaky=0.1"),
        ("act", "", ""),
        ("norm", "instance", "instance"),
        ("kernel", "1, 3,5", (1, 3, 5)),
        ("sizes", "1,3,3; 5", ((1, 3, 3), (5,))),
        ("sizes", "7", ((7,),)),
        ("sizes", [[3], [1, 2]], ((3,), (1, 2))),
        ("levels", "4", (4,)),
        ("levels", "1,2,3,4", (1, 2, 3, 4)),
        ("steps", "2", 2),
    ],
)
def test_text_is_read_as_the_options_type(option, text, value):
    (found,) = checked(**{option: text}).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("width", "2.5"),
        ("width", 2.5),
        ("width", True),
        ("width", None),
        ("width", float("inf")),
        ("width", float("nan")),
        ("width", ""),
        ("width", "9" * 5000),
        ("rate", "fast"),
        ("rate", True),
        ("rate", None),
        ("rate", 10**400),
        ("deep", "perhaps"),
        ("deep", 1),
        ("act", 3),
        ("norm", "layer"),
        ("norm", ["batch"]),
        ("kernel", "3,3"),
        ("kernel", "3,3,3,3"),
        ("kernel", 3),
        ("kernel", None),
        ("levels", "1,,2"),
        ("levels", (1, "x")),
        ("steps", "3"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_wanted_type_and_the_default(option, value):
    with pytest.raises(OptionError, match=rf"test:network: option {option} is .*, wanted .*\(default "):
        checked(**{option: value})


def test_an_unknown_option_is_answered_with_those_there_are():
    with pytest.raises(OptionError, match=r"has no option 'with'. It takes: width=32 \(int\); rate=0.1"):
        checked(**{"with": 1})
    with pytest.raises(OptionError, match="has no option 'dims'"):
        checked(dims=2)


def test_defaults_are_left_to_the_factory():
    assert checked() == {}


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers()))
def test_any_value_is_taken_as_the_right_type_or_refused(value):
    for option, kind in (("width", int), ("rate", float), ("deep", bool), ("act", str), ("levels", tuple)):
        try:
            found = checked(**{option: value})[option]
        except OptionError:
            continue
        assert type(found) is kind


def no_default(*, width: int):
    return width


def not_simple(*, widths: dict[str, int] = {}):  # noqa: B006  # the annotation is what is refused
    return widths


def not_annotated(*, width=3):
    return width


def only_for_the_type_checker(*, width: "Tensor" = 3):  # noqa: F821  # a name that is not there is the point
    return width


@pytest.mark.parametrize("factory", [no_default, not_simple, not_annotated])
def test_a_factory_whose_options_no_form_could_show_is_refused(factory):
    with pytest.raises(OptionError, match=f"test_options:{factory.__name__} must have a default and one of"):
        options_of(factory)


def test_annotations_that_are_not_there_at_run_time_are_refused_with_the_name():
    with pytest.raises(
        OptionError, match="only_for_the_type_checker cannot be read: name 'Tensor' is not def"
    ):
        options_of(only_for_the_type_checker)
    with pytest.raises(OptionError, match="A factory is a function or a class"):
        options_of(functools.partial(network, 1))


def test_pairs_are_read_with_hyphens_and_spaces():
    pairs = ("assume-orientation = ras", "act=leaky=0.1", "empty=")
    assert parse_pairs(pairs, flag="--allow") == {
        "assume_orientation": "ras",
        "act": "leaky=0.1",
        "empty": "",
    }


def test_a_pair_without_an_equals_sign_is_refused_with_an_example():
    with pytest.raises(OptionError, match=r"--allow 'sform': write NAME=VALUE, such as orientation=sform"):
        parse_pairs(("sform",), flag="--allow")
