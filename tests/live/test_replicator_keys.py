"""Keys as the replicator keeps them: one form for each key, whatever way it is written, and another for any other."""

import pytest

from lab.core.table import KeyAttribute
from lab.live.replicator.image import decode_key, encode_key, key_if_any

NUMBER = (KeyAttribute("n", "N"),)
WRITTEN = {
    "1": ("1", "1.0", "1.00", "+1", "01", "1E0", "10e-1"),
    "0": ("0", "-0", "0.0", "00", "0E+10"),
    "-0.0000001": ("-1e-7", "-0.0000001", "-0.00000010"),
    "1" + "0" * 100: ("1E+100", "1e100", "10E99"),
    "0." + "0" * 129 + "1": ("1E-130", "0.1E-129"),
    "12345678901234567890123456789012345678": (
        "12345678901234567890123456789012345678",
        "1.2345678901234567890123456789012345678E37",
    ),
    "0.12345678901234567890123456789012345678": ("0.12345678901234567890123456789012345678",),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_number_has_one_form_with_all_its_digits(form: str) -> None:
    for text in WRITTEN[form]:
        assert decode_key(NUMBER, encode_key(NUMBER, {"n": {"N": text}})) == {"n": {"N": form}}


def test_numbers_that_differ_in_the_last_of_38_digits_are_two_keys() -> None:
    one, other = ("1234567890123456789012345678901234567" + digit for digit in "89")
    assert encode_key(NUMBER, {"n": {"N": one}}) != encode_key(NUMBER, {"n": {"N": other}})


@pytest.mark.parametrize("item", [{}, {"id": {"S": "1"}}, {"n": {"S": "1"}}])
def test_an_item_without_the_key_has_none(item: dict[str, dict[str, str]]) -> None:
    assert key_if_any(NUMBER, item) is None
