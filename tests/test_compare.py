"""The tolerant comparison: pairs that must pass and pairs that must fail."""

import base64
import io

import matplotlib.pyplot as plt
import pytest

from tools import compare
from tools.compare import adopt, cell_rtol, same, same_picture

PASS = [
    ("loss 202.677 kW", "loss 202.677 kW"),
    ("0.91306184", "0.91306189"),  # relative 5e-8
    ("0.9131", "0.9130"),  # one unit of the last digit, 0.011 %
    ("1.2345e-03", "1.2346e-03"),
    ("-0.000", "0.000"),
    ("[-0.  1.5]", "[0. 1.5]"),
    ("-0", "0"),
    ("nan", "nan"),
    ("x   1.50000001\ny  -0.0", "x 1.50000002\ny 0.0"),
    ("-------\n1.234567", "------\n1.234568"),
    ("<td>12.345678</td>", "<td>12.345679</td>"),
    ("1e-07", "1e-07"),
    ("12.5MW", "12.5MW"),
    ("[1.0000001, 2.0]", "[1.0000002, 2.0]"),
    ({"a": [1.0, "b"]}, {"a": [1.0 + 1e-9, "b"]}),
    ("\u22120.5 p.u.", "-0.5 p.u."),
]
FAIL = [
    ("loss 202.677 kW", "loss 202.680 kW"),
    ("loss 202.677 kW", "gain 202.677 kW"),
    ("33 buses", "34 buses"),
    ("0.9131", "0.9133"),
    ("0.91", "0.92"),  # one unit, but 1.1 % of the number
    ("1.234567", "-1.234567"),
    ("1.2345e-03", "1.2345e-04"),
    ("0.0", "0.1"),
    ("0.000", "0.001"),
    ("nan", "0.5"),
    ("inf", "nan"),
    ("True", "False"),
    ("1.0", "1"),
    ("[1.0, 2.0]", "[1.0, 2.0, 3.0]"),
    ("[1.0, 2.0]", "[2.0, 1.0]"),
    ("<td>12.345678</td>", "<td>12.345699</td>"),
    ("<td>5</td>", "<th>5</th>"),
    ("a\nb", "a b"),
    ("bus12", "bus13"),
    ("2024-01-02", "2024-01-03"),
    ("12.5MW", "12.5MVA"),
    ({"a": 1.0}, {"b": 1.0}),
    ({"a": 1}, {"a": 2}),
    ([1.0], [1.1]),
    ("1000.", "1003."),
]


@pytest.mark.parametrize("a, b", PASS)
def test_agree(a, b):
    assert same(a, b) and same(b, a)


@pytest.mark.parametrize("a, b", FAIL)
def test_differ(a, b):
    assert not same(a, b) and not same(b, a)


def test_tag_widens():
    rtol = cell_rtol(["hide-input", "nbval-rtol-1e-3"])
    assert same("1234.5678", "1235.0", rtol) and not same("1234.5678", "1237.5", rtol)
    assert not same("1234.5678", "1235.0")


def test_misspelt_tag_is_refused():
    with pytest.raises(ValueError, match="nbval-rtol-1e-3"):
        cell_rtol(["nbval-rtol=1e-3"])


def test_adopt_takes_over_only_what_agrees():
    def outputs(a, b):
        return [
            {"output_type": "stream", "name": "stdout", "text": a},
            {"output_type": "display_data", "data": {"text/plain": b}},
        ]

    new = outputs("1.00000001", "2.5")
    adopt(new, outputs("1.0", "2.6"))
    assert new == outputs("1.0", "2.5")


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("tags", [[], [compare.ONE_OF_MANY]])
def test_one_plan_of_many_is_free_with_other_solvers_alone(monkeypatch, locked, tags):
    assert isinstance(compare.solvers_of_lock(), bool)
    monkeypatch.setattr(compare, "solvers_of_lock", lambda: locked)
    one, other, wide = picture([1, 2]), picture([2, 1]), picture([2, 1], (6, 3))
    for png, agrees in ((one, True), (other, bool(tags) and not locked), (wide, False)):
        new, stored = ([{"output_type": "display_data", "data": {"image/png": a}}]
                       for a in (png, one))  # fmt: skip
        adopt(new, stored, pictures=compare.cell_pictures(tags))
        assert (new == stored) is agrees


def picture(values, size=(5, 3)):
    figure, ax = plt.subplots(figsize=size)
    ax.plot(values)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    "values, size, equal",
    [
        ([1, 2, 3, 2], (5, 3), True),
        ([1, 2.0001, 3, 2], (5, 3), True),
        ([3, 2, 1, 2], (5, 3), False),
        ([1, 2, 3, 2], (5, 3.5), False),
    ],
)
def test_pictures(values, size, equal):
    assert same_picture(picture([1, 2, 3, 2]), picture(values, size)) is equal
