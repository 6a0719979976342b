"""Invented documents with personal data, for the benchmark only: nothing here trains anything.

Names, sentences, firms, towns and products are others than those that the tagger is trained on
(`src/gristmill/data/personal_data/name_*.py`; a test holds it). Beside the personal data stand
figures and words that only look like it. Ids, cards and IBANs have right check digits where they
are truth, and wrong ones where they are not.
"""

# A sentence stays on one line.
# ruff: noqa: E501

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable

from gristmill.data.personal_data import id_checks

Truth = tuple[int, int, str]
"""start, end, kind"""

FIRST = """
Adalbert Agatha Alistair Amadou Anneliese Anselm Ariadne Aslaug Aubrey Augustin Babatunde
Balthazar Beatrix Benedict Bernadette Blessing Bogdan Branislav Bronwyn Calliope Casimir Cassandra
Cedric Celestine Chidi Clementine Constance Cornelius Cosmin Cressida Cyprian Dagmar Damaris
Dashiell Delphine Demetrius Desmond Dorothea Edwina Eero Efua Eleanor Eloise Emrys Enrique
Esperanza Eustace Evangeline Farid Fatoumata Ferdinand Fergus Finnegan Florentina Fumiko Gaspard
Genevieve Gertrude Gideon Giorgia Gretchen Guinevere Gwendolyn Hadiza Haruki Heloise Hezekiah
Hortense Ignatius Ilkka Imani Ismail Isolde Ivo Jadwiga Jahanara Jemima Joaquin Josephine Jovana
Jytte Kalinda Katalyn Keziah Kyriakos Laszlo Leopold Leticia Lieselotte Linnea Ludmila Lysander
Maeve Malachi Marguerite Marisol Maximiliano Millicent Montserrat Muireann Nadezhda Nkechi Octavia
Odette Oisin Ondrej Ottoline Parvati Percival Perpetua Philippa Quentin Radoslav Ramona Rasmus
Rosamund Roswitha Rupert Saoirse Seraphina Shirin Sibusiso Sigrid Svetoslav Tabitha Takoda
Temitope Theodora Thibault Torvald Ulrika Valdemar Venkatesh Vesna Wilhelmina Winifred Xanthe
Yevgenia Yolanda Zbigniew Zenobia Zsofia
""".split()
LAST = """
Abernathy Achterberg Adeleke Aguilar Akhtar Albrecht Amundsen Appiah Arbuckle Arkwright Asimov
Attwater Babić Balakrishnan Bartholomew Beaumont Benítez Bergström Bhattacharya Birkbeck
Blackadder Boswell Bouchard Brannigan Braithwaite Bukowski Calloway Carmichael Castellanos
Cavendish Chakraborty Chamberlain Chatterjee Cholmondeley Cienfuegos Cobblepot Cunningham Dampier
Danjuma Delacroix Desrosiers Dhillon Dimitriou Dombrowski Drummond Duarte Dunleavy Eberhardt
Echeverría Ellington Engelbrecht Escobedo Fairweather Fashola Featherstone Figueroa Finkelstein
Fitzwilliam Frobisher Fujimoto Galbraith Garibaldi Gebreselassie Gillespie Goldsworthy Grimaldi
Gunnarsson Haberkorn Halloran Hashimoto Hawthorne Hendricks Higginbotham Holmgren Huckaby
Hutchinson Iglesias Inoue Jablonski Jakobsen Jankowski Kaczmarek Kallas Karagiannis Kavanagh
Kessler Kingsbury Kipkemboi Kirkpatrick Kruszewski Kurosawa Lachance Lagerlöf Lancaster Lavoie
Leclerc Lillywhite Lindgren Lockhart Lundqvist MacAllister Mackintosh Makinwa Marchetti Maldonado
Mbeki McAllister McGillicuddy Meadowcroft Mihailescu Montague Moriarty Mountbatten Muthoni
Nakagawa Nightingale Novotny Nyström Obermeyer Odhiambo Okonjo Oppenheim Oyelaran Pankhurst
Papandreou Pennington Pettersson Pfeiffer Pinkerton Quigley Rademacher Rajagopalan Ravenscroft
Reinholt Rosenthal Rutherford Saldanha Sandoval Satterfield Schoenberg Sepúlveda Shaughnessy
Sigurdsson Silverstein Sokolowski Stavros Steinbach Stirling Strömberg Sutherland Swaminathan
Takeda Tarkowski Thackeray Thibodeaux Tillinghast Trevelyan Tuominen Uzun Valenzuela Vandermolen
Vasquinho Villanueva Waddington Wainwright Warburton Weatherby Westergaard Wickramasinghe
Winterbourne Wolstenholme Wyndham Yamashita Yarborough Zamora Zelenka Zubiri Zuckermann
""".split()
PLACES = """
Aberystwyth Bakewell Bergamo Bilbao Bratislava Brno Cartagena Chattanooga Córdoba Cuxhaven
Debrecen Duluth Eindhoven Esbjerg Exeter Fresno Galway Gdynia Ghent Graz Groningen Guadalajara
Halifax Heraklion Innsbruck Izmir Jaipur Kaunas Košice Kumasi Lausanne Limerick Linz Ljubljana
Luleå Maastricht Medellín Mombasa Nantes Norwich Odense Omaha Ostrava Palermo Plovdiv Poznań Quito
Rijeka Rotterdam Salamanca Sapporo Spokane Split Tampere Tartu Tbilisi Toledo Trieste Tromsø Tulsa
Uppsala Utrecht Varna Wrocław
""".split()
FIRMS = """
Brightwater_Dynamics Copperfield_&_Daughters Datenkraft Evergreen_Mutual Fjordline_Shipping
Greenhaven_Clinics Halcyon_Robotics Ironbridge_Castings Juniper_Ridge_Dairy Kestrel_Aerospace
Lanternfish Meridian_Freight Northgate_Timber Opaline_Optics Parallax_Games Quillwork_Publishing
Redwood_Mutual Saltmarsh_Brewing Thistledown_Textiles Umbra_Security Vantage_Ceramics
Wayfarer_Travel Zephyr_Turbines Bluefin_Telecom Cobalt_Bay_Hospital Starling_Airways
Oakmoor_College University_of_Tartu Palermo_Harbour_Authority Tromsø_Fisheries_Board
Lindgren_Prize_Committee Hutchinson_Street_Baths Rosenthal_Porcelain_Works Cavendish_Laboratory
""".split()
FIRMS = [firm.replace("_", " ") for firm in FIRMS]
PRODUCTS = """
Skylark_500 Aquaflow_Filter Loomkit Papertrail Nimbus_Desk Orchard_OS Pebblephone Tidewatch
Copperline Mistral_Kettle Ferro_Drill Sundial_App Larkspur_Router Quickstitch Gravel_King
Basecamp_Tent
""".split()
PRODUCTS = [product.replace("_", " ") for product in PRODUCTS]
WORKS = (
    "The Silent Orchard", "A Winter in Glass", "Nine Bells", "The Cartographer's Debt", "Low Tide Sonata",
    "Letters to Nobody", "The Long Ferry", "Hollow Kings", "Rain Over Copper", "Paper Moons",
)  # fmt: skip
JOBS = (
    "archivist", "tax adviser", "cellist", "site foreman", "midwife", "glazier", "ward sister", "surveyor",
    "choirmaster", "locksmith", "paralegal", "head of logistics", "curator", "harbour master", "beekeeper",
)  # fmt: skip
# Reserved names, but under endings that exist: presidio refuses others.
MAIL_HOSTS = (
    "brightwater.example.com", "post.example.org", "students.example.net", "example.net", "example.com",
    "kestrel-aero.example.com", "mail.fjordline.example.net", "example.org", "zephyr.example.org",
)  # fmt: skip
_MONTHS = (
    "January February March April May June July August September October November December".split()
)
_CHECKED: dict[str, tuple[str, Callable[[str], bool], tuple[str, ...]]] = {
    # country: shape, check, labels; where the labels are empty the id stands alone.
    "us": ("999-99-9999", id_checks.us_ssn, ("SSN", "social security number", "Social Security No.")),
    "gb": ("AA 99 99 99 A", id_checks.gb_nino, ("NI number", "National Insurance number", "NINO")),
    "nhs": ("999 999 9999", id_checks.gb_nhs, ("NHS number", "NHS no.")),
    "de": ("99 999 999 999", id_checks.de_steuer_id, ("Steuer-ID", "Steueridentifikationsnummer")),
    "fr": ("9 99 99 99 999 999 99", id_checks.fr_nir, ("NIR", "numéro de sécurité sociale")),
    "es": ("99999999A", id_checks.es_dni, ("DNI", "with DNI")),
    "nie": ("A9999999A", id_checks.es_nie, ("NIE", "holder of NIE")),
    "it": ("AAAAAA99A99A999A", id_checks.it_codice_fiscale, ("codice fiscale", "C.F.")),
    "nl": ("999999999", id_checks.nl_bsn, ("BSN", "burgerservicenummer")),
    "be": ("99.99.99-999.99", id_checks.be_national_number, ("rijksregisternummer", "national number")),
    "pl": ("99999999999", id_checks.pl_pesel, ("PESEL",)),
    "se": ("999999-9999", id_checks.se_personnummer, ("personnummer", "personal number")),
    "fi": ("999999-999A", id_checks.fi_hetu, ("henkilötunnus", "HETU")),
    "br": ("999.999.999-99", id_checks.br_cpf, ("CPF",)),
    "in": ("9999 9999 9999", id_checks.in_aadhaar, ("Aadhaar", "Aadhaar number")),
    "cn": ("999999999999999999", id_checks.cn_resident_id, ("resident id", "身份证")),
    "kr": ("999999-9999999", id_checks.kr_rrn, ("RRN",)),
    "sg": ("A9999999A", id_checks.sg_nric, ("NRIC",)),
    "ca": ("999-999-999", id_checks.ca_sin, ("SIN", "social insurance number")),
    "au": ("999 999 999", id_checks.au_tfn, ("TFN", "tax file number")),
    "za": ("9999999999999", id_checks.za_id, ("ID number",)),
    "mx": ("AAAA999999AAAAAA99", id_checks.mx_curp, ("CURP",)),
}  # fmt: skip


def valid_id(r: random.Random, country: str) -> str:
    """A random id of the country's shape that passes its check."""
    shape, check, _ = _CHECKED[country]
    for _ in range(200_000):
        value = "".join(
            r.choice(string.digits)
            if c == "9"
            else r.choice(string.ascii_uppercase)
            if c == "A"
            else c
            for c in shape
        )
        value = _helped(r, country, value)
        if check("".join(c for c in value if c.isalnum())):
            return value
    raise RuntimeError(country)


def _helped(r: random.Random, country: str, value: str) -> str:
    """Inner dates and letters that random digits would rarely hit."""
    date = f"{r.randint(40, 99)}{r.randint(1, 12):02}{r.randint(1, 28):02}"
    if country in ("se", "kr", "za", "pl"):
        return date + value[6:]
    if country == "be":
        return f"{date[:2]}.{date[2:4]}.{date[4:]}{value[8:]}"
    if country == "fi":
        return date[4:] + date[2:4] + date[:2] + value[6:]
    if country == "cn":
        return value[:6] + "19" + date + value[14:]
    if country == "it":
        return value[:6] + date[:2] + r.choice("ABCDEHLMPRST") + date[4:] + value[11:]
    if country == "mx":
        return value[:4] + date + r.choice("HM") + value[11:]
    if country == "fr":
        return f"{r.choice('12')} {date[:2]} {date[2:4]}{value[7:]}"
    if country == "nie":
        return r.choice("XYZ") + value[1:]
    if country == "sg":
        return r.choice("ST") + value[1:]
    return value


def _digits(r: random.Random, count: int) -> str:
    return "".join(r.choice(string.digits) for _ in range(count))


def _luhn_digit(digits: str) -> str:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card(r: random.Random, valid: bool = True) -> str:
    prefix, length = r.choice(
        (("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("2221", 16))
    )
    body = prefix + _digits(r, length - 1 - len(prefix))
    last = _luhn_digit(body)
    if not valid:
        last = str((int(last) + r.randint(1, 9)) % 10)
    number, gap = body + last, r.choice((" ", " ", "-", ""))
    groups = (4, 10, 15) if length == 15 else (4, 8, 12, 16)
    return gap.join(number[a:b] for a, b in zip((0, *groups), groups, strict=False))


def iban(r: random.Random, valid: bool = True) -> str:
    country, length, bank = r.choice(
        (("DE", 22, ""), ("FR", 27, ""), ("NL", 18, "BRTW"), ("ES", 24, ""), ("GB", 22, "KSTR"), ("IT", 27, "X"),
         ("BE", 16, ""), ("CH", 21, ""), ("PL", 28, ""), ("SE", 24, ""), ("PT", 25, ""), ("AT", 20, ""))
    )  # fmt: skip
    body = bank + _digits(r, length - 4 - len(bank))
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    if not valid:
        check = check % 97 + 2 if check < 60 else check - 30
    whole = f"{country}{check:02}{body}"
    return whole if r.random() < 0.4 else " ".join(whole[i : i + 4] for i in range(0, length, 4))


def phone(r: random.Random) -> str:
    n = lambda a, b: str(r.randint(a, b))  # noqa: E731
    area = r.choice(("202", "312", "415", "617", "713", "206", "303"))
    return r.choice((
        f"({area}) {n(200, 999)}-{n(1000, 9999)}", f"{area}-{n(200, 999)}-{n(1000, 9999)}",
        f"+1 {area} {n(200, 999)} {n(1000, 9999)}", f"1-{area}-{n(200, 999)}-{n(1000, 9999)}",
        f"{area}.{n(200, 999)}.{n(1000, 9999)}", f"+44 20 7946 0{n(100, 999)}", f"020 7946 0{n(100, 999)}",
        f"07700 900{n(100, 999)}", f"+44 7700 900{n(100, 999)}", f"0113 496 0{n(100, 999)}",
        f"+49 30 {n(1000000, 9999999)}", f"030 {n(1000000, 9999999)}", f"0171 {n(1000000, 9999999)}",
        f"+33 6 {n(10, 99)} {n(10, 99)} {n(10, 99)} {n(10, 99)}", f"06 {n(10, 99)} {n(10, 99)} {n(10, 99)} {n(10, 99)}",
        f"+34 91 {n(100, 999)} {n(10, 99)} {n(10, 99)}", f"+31 20 {n(100, 999)} {n(1000, 9999)}",
        f"+39 06 {n(1000, 9999)} {n(1000, 9999)}", f"+91 98{n(100, 999)} {n(10000, 99999)}",
        f"+61 2 {n(5000, 9999)} {n(1000, 9999)}", f"+81 3-{n(3000, 6999)}-{n(1000, 9999)}", f"+48 {n(500, 799)} {n(100, 999)} {n(100, 999)}",
    ))  # fmt: skip


def ip(r: random.Random) -> str:
    if r.random() < 0.25:
        groups = ":".join(f"{r.randint(1, 0xFFFF):x}" for _ in range(r.choice((2, 6))))
        return f"2a0{r.randint(0, 9)}:{groups}" + (
            "::1" if groups.count(":") == 1 else f":{r.randint(1, 9)}"
        )
    return f"{r.choice((5, 23, 46, 62, 78, 88, 93, 151, 178, 195, 203))}.{r.randint(1, 254)}.{r.randint(1, 254)}.{r.randint(1, 254)}"


def date(r: random.Random, low: int = 1940, high: int = 2012) -> str:
    day, month, year = r.randint(1, 28), r.randint(1, 12), r.randint(low, high)
    name = _MONTHS[month - 1]
    return r.choice((
        f"{day} {name} {year}", f"{name} {day}, {year}", f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}",
        f"{day:02}.{month:02}.{year}", f"{day} {name[:3]} {year}", f"{day}th of {name} {year}" if day > 3 else f"{day} {name} {year}",
    ))  # fmt: skip


def address(r: random.Random) -> str:
    number, name, place = r.randint(1, 290), r.choice(LAST), r.choice(PLACES)
    flower = r.choice(
        (
            "Sycamore",
            "Larch",
            "Rowan Tree",
            "Old Mill",
            "Chapel",
            "Quarry",
            "Kingfisher",
            "Harbour View",
        )
    )
    kind = r.choice(
        (
            "Street",
            "Road",
            "Lane",
            "Avenue",
            "Drive",
            "Close",
            "Crescent",
            "St",
            "Blvd",
            "Court",
            "Terrace",
            "Way",
        )
    )
    line = f"{number} {r.choice((flower, name))} {kind}"
    two = "".join(r.choice("ABDEGHLNPRSTUWXYZ") for _ in range(2))
    code, state = _digits(r, 5), r.choice(("OK", "NE", "WA", "MN", "CA", "TN"))
    return r.choice((
        line, line, f"{line}, {place}", f"{line}, {place}, {state} {code}", f"{line}, Apt {r.randint(1, 40)}, {place}, {state} {code}",
        f"Flat {r.randint(1, 9)}, {line}, {place} {two}{r.randint(1, 19)} {r.randint(1, 9)}{two[::-1]}",
        f"{line}, {place} {two}{r.randint(1, 19)} {r.randint(1, 9)}{two}", f"{r.choice(('Birken', 'Mühl', 'Garten', 'Schiller', 'Kirch'))}straße {number}, {code} {place}",
        f"{r.choice(('Ahorn', 'Linden', 'Wiesen'))}weg {number}", f"{number} rue {r.choice(('des Lilas', 'du Moulin', 'Victor Delacroix', 'de la Gare'))}, {code} {place}",
        f"Calle {r.choice(('Mayor', 'del Sol', 'San Roque'))}, {number}", f"Via {r.choice(('Garibaldi', 'dei Mille', 'Marchetti'))} {number}, {code} {place}",
        f"{r.choice(('Prinsen', 'Molen', 'Dorps'))}straat {number}, {r.randint(1000, 9999)} {two} {place}", f"P.O. Box {r.randint(10, 9999)}, {place}, {state} {code}",
    ))  # fmt: skip


def _local(r: random.Random, first: str, last: str) -> str:
    plain = lambda s: "".join(c for c in s.lower() if c in string.ascii_lowercase) or "x"  # noqa: E731
    f, n = plain(first), plain(last)
    return r.choice(
        (
            f"{f}.{n}",
            f"{f[0]}{n}",
            f"{n}{r.randint(1, 99)}",
            f"{f}_{n}",
            f"{f}",
            f"{n}+{r.choice(('list', 'web'))}",
            f"{f[0]}.{n}",
        )
    )


# Each {kind} is truth but for those of _OTHERS. {first} and {last} are of the document's first person.
TEMPLATES = (
    # letters and mails
    "Hello {first},\n\nthe keys are with the {job}. If nobody opens, phone {phone} or drop a line to {email}.\n\nAll the best\n{person}",
    "Subject: Re: your booking with {org}\n\nWe owe you an apology, Mr. {last}. The refund goes to {iban} by {date}.",
    "To whom it may concern: {person} rented the flat at {address} from {date} to {date} and never paid late.",
    "Madam, Sir,\nI, {person}, hereby give notice. My new address is {address}.",
    "PS: {first} sends greetings from {place}, and so does old {last2}.",
    "--\n{person}\n{job_title}, {org}\n{address}\nT {phone}  E {email}",
    # offices
    "Claimant: {person}; date of birth: {dob}; {idlabel} {id}.",
    "The tenant ({person2}, born {dob} in {place}) shows {idlabel} {id} and pays from {iban}.",
    "Applicant {person} states {idlabel}: {id}. Residence: {address}.",
    "| {person} | {dobbare} | {email} | {phone} |",
    "surname,given,mail,phone\n{last},{first},{email},{phone}",
    "Case 44/{num}: the court heard {person}, {job}, and {person2}, her former partner.",
    "Sworn before me by {person} at {place} on {date}.",
    "Next of kin: {person2} (aunt), reachable under {phone}.",
    # hospital
    "Pt {person}, DOB {dob}, seen in clinic at {org}. Plan agreed with {first}.",
    "Discharge letter: {last} was admitted on {date}; {idlabel} {id}. Her GP, Dr. {last2}, has been told.",
    "Born on {dob}, she has lived at {address} since the spring.",
    # trade
    "Order {order} for {person} was charged to card {card}; the parcel leaves {place} on {date}.",
    "The caller, who gave her name as {person}, read out {card} and hung up.",
    "Remit {amount} to {iban}, beneficiary {person}.",
    "Ship the {product} to {person}, {address}, before Friday.",
    "{org} sold {num} units of the {product}; {person}, its {job}, expected more.",
    "Questions about invoice {order}? {first} in accounts picks up on {phone}.",
    # logs and code
    "{stamp} login ok user={email} from={ip}",
    "{ip} - - [{stamp}] \"GET /cart?item={num} HTTP/1.1\" 200",
    "Blocked {ip} after {num} attempts; the owner is {person}.",
    '{{"customer": "{person}", "mail": "{email}", "phone": "{phone}"}}',
    "# maintainer: {person} <{email}>\ndef price(item):\n    return item.cost * 1.2",
    "author = \"{person}\"  # ask {first} before you change it",
    # talk
    "{first}: anyone going to {place} on Sunday?\n{first2}: me, text me at {phone}",
    "lol {first} you left your {product} at mine again",
    "thx to {first2} for the tip, the {product} works now",
    "My gran, {person}, turned eighty-one and still rows on the lake near {place}.",
    "Has anybody heard from {person}? Last seen near {address}.",
    # news and books
    "{person}, {num2}, of {address}, pleaded guilty to theft on Monday.",
    "{place} lost its oldest shop last week. Its owner, {person}, blamed the rent. {last} had run it for decades.",
    "The goal came late: {person2} crossed and {last} headed in.",
    "“Nobody warned us,” murmured {person}. {org} declined to comment.",
    "{work} is the second novel of {person}, who lives near {place}.",
    "Critics adored {work}; {last} never forgave them.",
    "The prize went to {person} and {person2} for their study of moss.",
    "{person} ({dobborn}) studied in {place} before joining {org}.",
    "Under {last}, {org} opened a branch in {place}.",
    # at work
    "Appraisal of {person}\n{first} keeps calm under pressure, yet her estimates slip.",
    "Present: {person} (chair), {person2}, {first2}\nExcused: Mrs. {last2}",
    "- {first} orders the {product}\n- {first2} calls {org}",
    "We interviewed {person} for the post of {job}; contact {email}.",
    "Delegation remains hard for {last}, who checks every line himself.",
    "Staff may reach {person} on extension 12 or at {email}.",
    "{org} Quarterly Round-up\nOur account there is run by {person}. Sales reached {amount}.",
)  # fmt: skip
NOTHING = (
    "The {product} needs firmware {version} or later; see section {section}.",
    "{work} appeared under ISBN {isbn} and was reprinted twice.",
    "Commit {hash} fixes the leak; build {num}-{num} is green.",
    "Tracking number {order} has not moved since {date}.",
    "{org} and {org} merged in {place}; the regulator in {place} agreed.",
    "The session {uuid} expired at {stamp}.",
    "Between 1914-1918 and 1939-1945 the mill in {place} stood still.",
    "It lies at {coords}, an hour from {place}.",
    "Sums of {amount} and {amount} were set aside by {org}.",
    "The test card {badcard} is refused on purpose.",
    "The account {badiban} in the example has a wrong check and does not exist.",
    "Part no. {part}; torque {num} Nm; see table {section}.",
    "class {camel}(Base):\n    timeout = {num}\n    version = \"{version}\"",
    "for i in range({num}): x[i] = {num} * y[i]  # see {camel}",
    "Results: {place} 3-2 {place}, {place} 101-{num2} {place}.",
    "Opening Hours: Monday to Friday, 09:00-17:30. Closed on Bank Holidays.",
    "Follow @{handle} for news from {place}.",
    "Terms And Conditions Apply. Batteries Not Included.",
    "The {place} Declaration of {date} was signed by nine ministers.",
    "{product} vs {product}: Which One Should You Buy?",
    "How To Clean Your {product} In Five Easy Steps",
    "Flights from {place} to {place} with {org} resume on {date}.",
    "The {last3} Bridge in {place} is closed, and so is {last3} Road.",
    "{last3} & Sons, the bakery in {place}, was sold to {org}.",
    "The {last3} Institute published report {num}/{num} in {month}.",
    "The population grew from {big} to {big} within a decade.",
    "MAC {mac}, serial {part}, batch {order}.",
    "doi:10.{num4}/s{num4}-0{num4}-x",
    "Figure {section}. Mean of {num} samples (p < 0.0{num2}).",
    "{org}: The Future Of Glass, Today.",
    "std::vector<int> v{{1, 2, 3}}; foo::bar::baz();",
    "Take the A{num2} towards {place}, then the B{num4}.",
    "Ratio {num}:{num}, code {badid}, row {section}.",
)  # fmt: skip
_PLACE = re.compile(r"\{(\w+)\}|\{\{|\}\}")


class Filler:
    """One document: the same persons in all its sentences."""

    def __init__(self, r: random.Random):
        self.r = r
        self.people = [(r.choice(FIRST), r.choice(LAST)) for _ in range(2)]
        self.country = r.choice(sorted(_CHECKED))

    def person(self, which: int) -> str:
        r = self.r
        first, last = self.people[which]
        roll = r.random()
        if roll < 0.1:
            return f"{first} {r.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if roll < 0.16:
            return f"{first[0]}. {last}"
        return f"{first} {last}"

    def value(self, name: str) -> tuple[str, str, str]:
        """(text before, value, kind; no kind where it is no truth)."""
        r = self.r
        (first, last), (first2, last2) = self.people
        truth: dict[str, tuple[str, Callable[[], str]]] = {
            "person": ("person", lambda: self.person(0)), "person2": ("person", lambda: self.person(1)),
            "first": ("person", lambda: first), "first2": ("person", lambda: first2),
            "last": ("person", lambda: last), "last2": ("person", lambda: last2),
            "email": ("email", lambda: f"{_local(r, first, last)}@{r.choice(MAIL_HOSTS)}"),
            "phone": ("phone", lambda: phone(r)), "ip": ("ip", lambda: ip(r)), "card": ("card", lambda: card(r)),
            "iban": ("iban", lambda: iban(r)), "id": ("national_id", lambda: valid_id(r, self.country)),
            "dob": ("birth_date", lambda: date(r)), "address": ("address", lambda: address(r)),
        }  # fmt: skip
        if name in truth:
            kind, make = truth[name]
            return "", make(), kind
        if name == "dobborn":
            return r.choice(("born ", "born on ", "b. in Graz, born ")), date(r), "birth_date"
        others: dict[str, Callable[[], str]] = {
            "idlabel": lambda: r.choice(_CHECKED[self.country][2]), "org": lambda: r.choice(FIRMS),
            "place": lambda: r.choice(PLACES), "product": lambda: r.choice(PRODUCTS), "work": lambda: r.choice(WORKS),
            "job": lambda: r.choice(JOBS), "job_title": lambda: r.choice(JOBS).capitalize(),
            "date": lambda: date(r, 1990, 2026), "dobbare": lambda: r.choice(("n/a", "unknown")),
            "num": lambda: str(r.randint(2, 9999)), "num2": lambda: str(r.randint(18, 89)), "num4": lambda: _digits(r, 4),
            "order": lambda: r.choice((f"#{_digits(r, 7)}", f"{_digits(r, 3)}-{_digits(r, 7)}-{_digits(r, 7)}", f"ZX{_digits(r, 9)}FR")),
            "amount": lambda: f"{r.choice('€$£')}{r.randint(1, 999)},{_digits(r, 3)}.{_digits(r, 2)}",
            "stamp": lambda: f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{_digits(r, 1)}7:{r.randint(10, 59)}Z",
            "version": lambda: r.choice((f"{r.randint(1, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)}", f"v{r.randint(1, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)}.{r.randint(0, 99)}")),
            "section": lambda: f"{r.randint(1, 9)}.{r.randint(1, 19)}", "isbn": lambda: f"978-{r.randint(0, 9)}-{_digits(r, 4)}-{_digits(r, 4)}-{r.randint(0, 9)}",
            "hash": lambda: "".join(r.choice("0123456789abcdef") for _ in range(40)), "part": lambda: f"{_digits(r, 2)}-{_digits(r, 5)}-{r.choice('ABC')}",
            "uuid": lambda: "-".join("".join(r.choice("0123456789abcdef") for _ in range(n)) for n in (8, 4, 4, 4, 12)),
            "coords": lambda: f"{r.randint(30, 60)}.{_digits(r, 4)}, {r.randint(-9, 30)}.{_digits(r, 4)}", "badcard": lambda: card(r, False),
            "badiban": lambda: iban(r, False), "camel": lambda: r.choice(("RetryPolicy", "OrderBook", "GlassPane", "HttpClient")),
            "handle": lambda: r.choice(PLACES).lower() + r.choice(("_live", "news", "_fc")), "last3": lambda: r.choice(LAST),
            "month": lambda: r.choice(_MONTHS), "big": lambda: f"{r.randint(1, 9)} {_digits(r, 3)} {_digits(r, 3)}",
            "mac": lambda: ":".join("".join(r.choice("0123456789ABCDEF") for _ in range(2)) for _ in range(6)),
            "badid": lambda: f"000-{_digits(r, 2)}-{_digits(r, 4)}",
        }  # fmt: skip
        return "", others[name](), ""


def documents(count: int, seed: int = 0) -> list[tuple[str, list[Truth]]]:
    """(text, what is personal in it), the same for the same seed."""
    made = []
    for number in range(count):
        r = random.Random(f"{seed} {number}")
        filler = Filler(r)
        text, truth = "", []
        for _ in range(r.randint(2, 5)):
            template = r.choice(TEMPLATES if r.random() < 0.6 else NOTHING)
            position = 0
            for match in _PLACE.finditer(template):
                text += template[position : match.start()]
                position = match.end()
                if match.group(1) is None:
                    text += match.group()[0]
                    continue
                before, value, kind = filler.value(match.group(1))
                text += before
                if kind:
                    truth.append((len(text), len(text) + len(value), kind))
                text += value
            text += template[position:] + r.choice((" ", "\n", "\n\n"))
        made.append((text.rstrip(), truth))
    return made
