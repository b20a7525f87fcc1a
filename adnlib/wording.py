"""Named values in one line of a print, for people."""

from numbers import Real


def one_line(named, digits=None, unit=""):
    """'name = value unit; name = value unit; ...': a dict or a pandas Series in words.

    named: {name: value}; digits: decimals of every number (None: as they are, whole ones without
    a point); unit: said after every value.

    >>> one_line({"ieee33": -70.912, "ieee123": -95.0}, 1, "%")
    'ieee33 = -70.9 %; ieee123 = -95.0 %'
    >>> one_line({"tap": 3, "banks": (2, 4)})
    'tap = 3; banks = 2, 4'
    """
    return "; ".join(
        f"{name} = {_said(value, digits)} {unit}".rstrip() for name, value in named.items()
    )


def _said(value, digits):
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(one, digits) for one in value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return f"{value:.10g}" if digits is None else f"{value:.{digits}f}"


def tidy(table, digits):
    """The table rounded, columns of whole numbers without a point: 41 days, not 41.0.

    table: pandas DataFrame; digits: decimals of the others. The tests compare whole numbers
    exactly: not for counts that a solver's tolerance can move.

    >>> import pandas as pd
    >>> tidy(pd.DataFrame({"days": [41.0, 27.0], "saving [%]": [4.9901, 0.1652]}), 2)
       days  saving [%]
    0    41        4.99
    1    27        0.17
    """
    table = table.infer_objects().round(digits)
    for k, kind in enumerate(table.dtypes):
        known = table.iloc[:, k].dropna()
        if kind.kind == "f" and len(known) and (known % 1 == 0).all():
            table.isetitem(k, table.iloc[:, k].astype("Int64"))
    return table
