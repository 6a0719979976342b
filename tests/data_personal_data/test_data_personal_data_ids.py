"""National ids: published examples pass their checks, neighbours of them fail, labels decide."""

from __future__ import annotations

import random

import pytest

from gristmill.data.personal_data import id_checks
from gristmill.data.personal_data.national_ids import COUNTRIES, RULES, national_ids

# Examples that offices, standards and encyclopaedias print.
PUBLISHED = {
    "de_steuer_id": "86095742719", "it_codice_fiscale": "RSSMRA85T10A562S", "nl_bsn": "111222333",
    "be_national_number": "85073003328", "pl_pesel": "44051401359", "se_personnummer": "8112189876",
    "fi_hetu": "131052308T", "no_fodselsnummer": "15108695088", "ch_ahv": "7569217076985",
    "at_svnr": "1237010180", "ro_cnp": "1630615123457", "bg_egn": "7523169263",
    "iso_7064_11_10": "33392005961", "cz_rodne_cislo": "7103192745", "tr_kimlik": "17291716060",
    "za_id": "7503305044089", "in_aadhaar": "234123412346", "cn_resident_id": "11010519491231002X",
    "kr_rrn": "9710139019902", "tw_id": "A123456789", "sg_nric": "S1234567D", "hk_id": "A1234563",
    "br_cpf": "39053344705", "mx_curp": "BOXW310820HNERXN09", "ar_cuil": "20055361682",
    "cl_rut": "125319092", "ca_sin": "123456782", "au_tfn": "123456782", "nz_ird": "49091850",
    "baltic_code": "36805280109", "gr_amka": "01013099997", "ie_pps": "6433435F",
    "gb_nhs": "9434765870", "ru_snils": "11223344595", "ru_inn": "123456789047",
    "th_id": "1234545678781", "ec_cedula": "1714307103", "ua_rnokpp": "1759013776",
    "es_nie": "X2482300W", "es_dni": "54362315K", "gb_nino": "AB123456C",
    "fr_nir": "184127645108946", "au_medicare": "2123456701",
}  # fmt: skip
# Their last character checks nothing.
WITHOUT_CHECK = {"gb_nino", "au_medicare"}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_examples_pass_and_their_neighbours_fail(name: str) -> None:
    check, value = getattr(id_checks, name), PUBLISHED[name]
    assert check(value)
    if name in WITHOUT_CHECK:
        return
    last = value[-1]
    others = "0123456789" if last.isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    if name in ("cl_rut", "cn_resident_id"):
        others = "0123456789"
    assert not any(check(value[:-1] + other) for other in others if other != last)


def test_verhoeff_finds_every_swap_of_neighbours() -> None:
    r = random.Random(1)
    for _ in range(200):
        body = "".join(r.choice("0123456789") for _ in range(11))
        (whole,) = [body + d for d in "0123456789" if id_checks.verhoeff(body + d)]
        for i in range(11):
            if whole[i] != whole[i + 1]:
                swapped = whole[:i] + whole[i + 1] + whole[i] + whole[i + 2 :]
                assert not id_checks.verhoeff(swapped)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BSN 111222333", ["111222333"]),
        ("order 111222333", []),
        ("(111222333, BSN)", ["111222333"]),
        ("a company span 111222333", []),
        ("PESEL: 44051401359.", ["44051401359"]),
        ("HKID A123456(3) shown", ["A123456(3)"]),
        ("X-2482300-W", ["X-2482300-W"]),
        ("rodné číslo 710319/2745", ["710319/2745"]),
        ("756.9217.0769.85, 85.07.30-033.28, 131052-308T",
         ["756.9217.0769.85", "85.07.30-033.28", "131052-308T"]),
        ("CPF 390.533.447-05 and 390.533.447-06", ["390.533.447-05"]),
        ("1-219-09-9999, 219-09-9999-1, a219-09-9999, 219-09-99990", []),
        ("path/219-09-9999/x.219-09-9999", []),
        ("SSN 219-09-9999 NINO AB123456C", ["219-09-9999", "AB123456C"]),
        ("Aadhaar 2341 2341 2346 2341", ["2341 2341 2346"]),
        ("", []),
    ],
)  # fmt: skip
def test_ids_in_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end, _ in national_ids(text)] == expected


def test_a_label_makes_it_sure() -> None:
    assert [score for *_, score in national_ids("SSN 219-09-9999")] == [1.0]
    assert [score for *_, score in national_ids("no. 219-09-9999")] == [0.85]


def test_only_the_countries_asked_for() -> None:
    text = "SSN 219-09-9999, CPF 390.533.447-05"
    assert [text[a:b] for a, b, _ in national_ids(text, ["br"])] == ["390.533.447-05"]
    assert list(national_ids(text, [])) == []


def test_the_table_is_sound() -> None:
    assert len(COUNTRIES) >= 40
    for rule in RULES:
        assert rule.words and all(word == word.lower() for word in rule.words)
        for shape in rule.shapes:
            assert set(shape) <= set("9A .-/()+") and len(shape) <= 24
            # Every check takes any value of its shapes.
            bare = "".join(c for c in shape if c.isalnum())
            for filling in ("0", "1", "9"):
                rule.check(bare.replace("9", filling))
