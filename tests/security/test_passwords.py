"""Which passwords are refused, and what hashing promises."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import SettingsError
from engine.security.passwords import (
    LEAST_MEMORY_KIB,
    MEMORY_KIB,
    PASSES,
    PasswordHasher,
    WeakPassword,
    check_strength,
    common_passwords,
    normalise,
)

QUICK = PasswordHasher(LEAST_MEMORY_KIB, 2)


@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "qwertyuiop",
        "Quarterdeck2026",
        "quarterdeck!!2026",
        "Qu4rt3rd3ck2026",
        "password1234",
        "P@ssw0rd123456",
        "PASSWORDPASSWORD",
        "correcthorsebatterystaple",
        "letmein 123456",
        "123456789012",
        "abcdefghijkl",
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "abcabcabcabcabc",
        "qwertyuiop1234",
        "asdfghjkl1234",
        "1qaz2wsx3edc",
        "owner2026!!!",
        "TheOwner123456",
        "short",
        "x" * 129,
        "",
    ],
)
def test_lgn_14_guessable_passwords_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_strength(password, ("owner",))


@pytest.mark.parametrize(
    "password",
    ["seven wet herons", "zk7 vuw 2bf 91q", "Übergrößenträger7", "船長は夜明けに港を静かに出ます", "kg!" * 3 + "wq9x"],
)
def test_lgn_14_sound_passwords_pass_without_rules_about_signs(password: str) -> None:
    check_strength(password, ("owner",))


def test_lgn_14_list_is_large_and_lower_case() -> None:
    words = common_passwords()
    assert len(words) >= 3000
    assert all(word == word.lower() for word in words)
    assert {"password1", "qwertyuiop", "123456", "iloveyou", "dragon", "letmein"} <= words


def test_lgn_13_nul_and_half_characters_are_refused_and_never_end_a_password() -> None:
    for odd in ("pa\x00ss and more text", "abc\ud800 and more text"):
        with pytest.raises(WeakPassword):
            check_strength(odd)
        assert not QUICK.verify(odd, QUICK.hash("seven wet herons"))


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["Å", "é", "ﬁ", "①", "ｆｕｌｌ"]), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_lgn_13_one_text_in_any_normal_form_is_one_password(letter: str, form: str) -> None:
    text = f"seven wet {letter} herons"
    assert normalise(unicodedata.normalize(form, text)) == normalise(text)  # type: ignore[arg-type]


def test_lgn_13_normal_forms_verify_against_each_other() -> None:
    stored = QUICK.hash(unicodedata.normalize("NFC", "sieben große Ärgernisse"))
    assert QUICK.verify(unicodedata.normalize("NFD", "sieben große Ärgernisse"), stored)
    assert not QUICK.verify("sieben grosse Ärgernisse", stored)


def test_lgn_11_nothing_is_cut_off() -> None:
    stored = QUICK.hash("a" * 72 + "b")
    assert QUICK.verify("a" * 72 + "b", stored)
    assert not QUICK.verify("a" * 72 + "c", stored)
    assert not QUICK.verify("a" * 72, stored)


def test_lgn_11_bcrypt_row_and_a_password_over_72_bytes_then_wrong_not_an_error() -> None:
    assert not QUICK.verify("a" * 80, "$2b$04$" + "x" * 53)
    assert not QUICK.verify("seven wet herons", "no hash at all")


def test_hash_when_made_then_argon2id_above_the_floor_with_its_own_salt() -> None:
    hasher = PasswordHasher()
    first, second = hasher.hash("seven wet herons"), hasher.hash("seven wet herons")
    assert first != second
    assert first.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$")
    assert not hasher.is_outdated(first)
    assert hasher.is_outdated(QUICK.hash("seven wet herons"))


@pytest.mark.parametrize(("memory_kib", "passes"), [(8_192, 2), (65_536, 1)])
def test_lgn_17_parameters_below_the_floor_are_refused(memory_kib: int, passes: int) -> None:
    with pytest.raises(SettingsError):
        PasswordHasher(memory_kib, passes)


def test_verify_when_password_is_endless_then_refused_without_hashing_it_whole() -> None:
    assert not QUICK.verify("x" * 1_000_000, QUICK.hash("seven wet herons"))
