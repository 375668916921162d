"""Passwords stay out of what is printed, logged and stored."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.masking import mask, names_a_secret, passwords_in


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://ann:s3cret@db:5432/x?sslmode=require", "postgresql://ann:***@db:5432/x?sslmode=require"),
        ("to postgresql+psycopg://:s3cret@/x failed", "to postgresql+psycopg://:***@/x failed"),
        ("postgresql://ann:s3/c@r#e:t@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann:s3'cret@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann@db:5432/x", "postgresql://ann@db:5432/x"),
        ("postgresql:///x?host=/tmp&password=s3cret", "postgresql:///x?host=/tmp&password=***"),
        ("host=db password=s3cret user=ann", "host=db password=*** user=ann"),
        (r"password = 's3\'cret two' user=ann", "password = *** user=ann"),
        (r"password=s3\ cret user=ann", "password=*** user=ann"),
        ("PGPASSWORD=s3cret psql", "PGPASSWORD=*** psql"),
        ("sslpassword='s3cret", "sslpassword=***"),
        ('{"password": "s3cret", "user": "ann"}', '{"password": "***", "user": "ann"}'),
        ("sqlite:///srv/app.db", "sqlite:///srv/app.db"),
        ("http://127.0.0.1:8080/api?from=a", "http://127.0.0.1:8080/api?from=a"),
        ('password authentication failed for user "ann"', 'password authentication failed for user "ann"'),
    ],
)  # fmt: skip
def test_passwords_in_addresses_and_settings_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


SPELLINGS = {
    "as it is": lambda secret: secret,
    "quoted for a path": lambda secret: quote(secret, safe=""),
    "quoted in lower case": lambda secret: re.sub("%..", lambda m: m[0].lower(), quote(secret, safe="")),
    "quoted for a query": quote_plus,
    "as JSON": lambda secret: json.dumps(secret)[1:-1],
    "as JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "as SQL": lambda secret: secret.replace("'", "''"),
    "for libpq": lambda secret: re.sub(r"(['\\ ])", r"\\\1", secret),
}
# Two characters at least (any text holds any one character somewhere), and no part of the mask.
secret_texts = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=2)


@given(secret_texts, st.text(), st.text(), st.sampled_from(sorted(SPELLINGS)))
def test_a_known_secret_is_masked_in_every_spelling(secret: str, before: str, after: str, how: str) -> None:
    spelled = SPELLINGS[how](secret)
    result = mask(before + spelled + after, [secret])
    assert "***" in result
    assert spelled not in result
    assert secret not in result


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("postgresql://ann:s3%40cret@db/x", ("s3@cret",)),
        ("postgresql://ann:s3[c/r@et@db/x", ("s3[c/r@et",)),
        ("postgresql://ann:s3cret@db/x?application_name=a@b", ("s3cret@db/x?application_name=a", "s3cret")),
        ("postgresql:///x?host=/tmp&password=s3%26cret&sslpassword=two", ("s3&cret", "two")),
        ("postgresql://postgres:@/x?host=/tmp", ()),
        ("sqlite:////srv/app.db", ()),
    ],
)
def test_the_passwords_of_an_address_are_found(url: str, passwords: tuple[str, ...]) -> None:
    assert passwords_in(url) == passwords


def test_an_empty_secret_masks_nothing() -> None:
    assert mask("nothing to hide", [""]) == "nothing to hide"


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert mask("s3cret-and-more", ["s3cret", "s3cret-and-more"]) == "***"


def test_a_long_text_costs_a_look_at_each_character() -> None:
    for text in ("x" * 300_000, "password" * 40_000, "://" * 100_000):
        assert len(mask(text, ["s3cret"])) <= len(text)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("PGPASSWORD", True),
        ("api-key", True),
        ("client_secret", True),
        ("Authorization", True),
        ("password_age", False),
        ("table", False),
        ("secretary", False),
    ],
)
def test_fields_named_after_a_secret_are_known(name: str, secret: bool) -> None:
    assert names_a_secret(name) is secret
