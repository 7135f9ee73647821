"""Addresses as they are shown: nothing that is secret in one is left, whatever it is made of."""

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.addresses import concealed
from bench.errors import BenchError
from bench.tracking import check_address, redacted

INPUTS = Path(__file__).parent / "inputs" / "11"
ADDRESSES = json.loads((INPUTS / "addresses.json").read_text("utf-8"))
PART = "S3CR3T"
SCHEMES = st.sampled_from(["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "mssql+pyodbc"])
PASSWORDS = st.lists(st.text("@:/?#&=%;.+ \\'\"é", max_size=3), min_size=1, max_size=4).map(
    lambda between: PART + PART.join(between) + PART
)
"""A password of any characters, of which every part can be found again."""


@pytest.mark.parametrize("case", ADDRESSES, ids=lambda case: case["address"])
def test_an_address_is_shown_without_what_is_secret(case: dict[str, str]) -> None:
    assert redacted(case["address"]) == case["shown"]


@given(SCHEMES, PASSWORDS, st.sampled_from(["h", "h:5000", "[::1]:5000"]), st.booleans())
def test_no_part_of_a_password_is_left(scheme: str, password: str, host: str, encoded: bool) -> None:
    written = quote(password, safe="") if encoded else password
    for address in (f"{scheme}://me:{written}@{host}/x", f"{scheme}://{PART}:{written}@{host}"):
        assert PART not in redacted(address)
        # an error may hold the address, or what a library read out of it
        assert PART not in concealed(f"cannot reach '{address}' (as me, '{password}')", address)
    if encoded:
        for name in ("password", "token", "access_token", "pass%77ord", "sslpassword"):
            address = f"{scheme}://{host}/x?a=b&{name}={written}&c=d"
            assert PART not in redacted(address)
            assert redacted(address).endswith("=***&c=d")
            assert PART not in concealed(f"refused: {password} at {address}.", address)


@given(st.text(max_size=60))
def test_any_text_is_redacted_or_refused_and_never_fails(text: str) -> None:
    redacted(text)
    assert isinstance(concealed(text, text), str)
    with suppress(BenchError):
        check_address(text)


def test_words_of_a_library_lose_what_is_secret_and_keep_the_rest() -> None:
    address = json.loads((INPUTS / "store.json").read_text("utf-8"))["tracking_uri"]
    for line in (INPUTS / "errors.txt").read_text("utf-8").splitlines():
        shown = concealed(line, address)
        assert "hunter" not in shown
        assert "db.example" in shown
