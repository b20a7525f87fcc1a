"""Receipts: hashes follow content, names that do not exist are refused."""

import pytest

from adnlib.receipt import digest, read_receipt, receipt


def test_digest_follows_content_and_names_only(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place / "x").mkdir(parents=True)
        (tmp_path / place / "x" / "bus.csv").write_text("1")
    first, second = (digest([tmp_path / place / "x"]) for place in ("a", "b"))
    assert first == second and len(first) == 64
    (tmp_path / "a" / "x" / ".hidden").write_text("1")
    (tmp_path / "a" / "x" / "__pycache__").mkdir()
    (tmp_path / "a" / "x" / "__pycache__" / "m.pyc").write_text("1")
    assert digest([tmp_path / "a" / "x"]) == first
    (tmp_path / "a" / "x" / "bus.csv").rename(tmp_path / "a" / "x" / "bus2.csv")
    assert digest([tmp_path / "a" / "x"]) != first
    (tmp_path / "b" / "x" / "bus.csv").write_text("2")
    assert digest([tmp_path / "b" / "x"]) != first


def test_missing_data_is_named():
    with pytest.raises(FileNotFoundError, match="no_such_feeder"):
        receipt(data=["feeders/no_such_feeder"])


def test_receipt_reads_back():
    versions, data, seed = read_receipt(receipt(seed=3, data=["feeders"]))
    assert seed == "3" and len(data["feeders"]) == 12
    assert {"python", "adnlib", "numpy", "clarabel"} <= set(versions)
    assert read_receipt(receipt())[2] == "none"
