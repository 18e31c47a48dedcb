from __future__ import annotations

import pytest

from lvae_core.errors import InputError
from sweeps.planning.grids.axes import Axis, combinations, parse_axis, parse_changes, parse_zip


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("dropout=0.3", [0.3]),
        ("dropout=0.3,0.5", [0.3, 0.5]),
        (" dropout = 0.3 , 0.5 ", [0.3, 0.5]),
        ("hidden_size=16,32,64", [16, 32, 64]),
        ("share_embeddings=true,false", [True, False]),
        ("batching=shuffled,bucketed", ["shuffled", "bucketed"]),
        ("cnn_dilations=[1,2,4]", ["1,2,4"]),
        ("cnn_dilations=[1, 2, 4],[1,2]", ["1,2,4", "1,2"]),
        ("cnn_dilations=4", ["4"]),
    ],
)
def test_a_list_has_commas_between_its_values(setting, values):
    axis = parse_axis(setting)
    assert axis == Axis((setting.partition("=")[0].strip(),), tuple((value,) for value in values))
    assert [type(point[0]) for point in axis.points] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dropout", "--set dropout: write FIELD=VALUE"),
        ("dropout=", "--set dropout=: no value; write dropout=VALUE, or leave it out"),
        ("dropout=0.3,", "--set dropout=0.3,: ends with a comma"),
        ("dropout=,0.3", "an empty value"),
        ("dropout=0.3,,0.5", "an empty value"),
        ("dropout=0.3,0.30", "--set dropout=0.3,0.30: 0.30 is given twice"),
        ("dropout=0.3;0.5", "--set dropout=0.3;0.5: must be a number"),
        ("dropout=[0.3,0.5]", "dropout takes no list; write values with commas between"),
        ("droput=0.3,0.5", "did you mean 'dropout'"),
        ("hidden_size=16,32.5", "--set hidden_size=32.5: must be a whole number"),
        (
            "cnn_dilations=1,2,4",
            "'cnn_dilations=[1,2,4]' for one value, or 'cnn_dilations=[1],[2],[4]' for 3",
        ),
        ("cnn_dilations=[1,2],4", "a list goes in brackets"),
        ("cnn_dilations=[1,2", "brackets do not match"),
        ("cnn_dilations=1,2]", "brackets do not match"),
        ("cnn_dilations=[[1,2]]", "brackets do not match"),
    ],
)
def test_a_mistyped_list_is_refused_in_one_line(setting, message):
    with pytest.raises(InputError) as caught:
        parse_axis(setting)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (
            ["max_epochs=2", "latent_size"],
            "write FIELD=VALUE, such as --set latent_size=32",
        ),
        (["latent_size=4", "8"], "commas and no blanks between, such as latent_size=4,8"),
    ],
)
def test_the_example_is_a_setting_that_could_be_meant(settings, remedy):
    with pytest.raises(InputError) as caught:
        parse_changes(settings)
    assert remedy in str(caught.value)


def test_the_last_change_of_a_field_counts():
    assert parse_changes(["dropout=0.3,0.5", "dropout=0.1"])["dropout"].points == ((0.1,),)


def test_a_zip_pairs_the_values_of_its_fields():
    axis = parse_zip(["hidden_size=16,32", "dropout=0.3,0.5"])
    assert axis == Axis(("hidden_size", "dropout"), ((16, 0.3), (32, 0.5)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("hidden_size=16,32", "dropout=0.3"), "different lengths (hidden_size has 2, dropout has 1)"),
        (("hidden_size=16,32",), "--zip hidden_size=16,32: pairs the values of two fields or more"),
        ((), "pairs the values of two fields or more"),
        (("hidden_size=1,2", "hidden_size=3,4"), "hidden_size is given twice"),
        (("hidden_size=16,", "32", "dropout=0.3,0.5"), "--zip hidden_size=16,: ends with a comma"),
        (("hidden_size=16", ",32", "dropout=0.3,0.5"), "such as hidden_size=16,32"),
        (("hiden_size=16,32", "dropout=0.3,0.5"), "did you mean 'hidden_size'"),
    ],
)
def test_a_zip_that_cannot_be_paired_is_refused_in_one_line(settings, message):
    with pytest.raises(InputError) as caught:
        parse_zip(settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_axes_are_combined_each_value_with_each():
    axes = [parse_axis("dropout=0.3,0.5"), parse_zip(["hidden_size=1,2", "latent_size=3,4"])]
    found = [(c["dropout"], c["hidden_size"], c["latent_size"]) for c in combinations(axes)]
    assert found == [(0.3, 1, 3), (0.3, 2, 4), (0.5, 1, 3), (0.5, 2, 4)]
    assert list(combinations([])) == [{}]
