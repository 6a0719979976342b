"""What fills pages without saying anything, and snippets of programs and formulae."""

from __future__ import annotations

import random

from gristmill.data.sample_web.invented import CLUBS, GOODS
from gristmill.data.sample_web.personal import TOWNS

# kind, title, lines; {site} is the site's name.
_PAGES = (
    (
        "login",
        "Sign in",
        "User name|Password|Remember me|Forgot your password?|Create an account",
    ),
    (
        "cookies",
        "Cookie settings",
        "We use cookies to improve your experience.|Necessary|Statistics|Marketing|Accept all|"
        "Save and close",
    ),
    (
        "search",
        "Search results",
        "Your search on {site} found 0 results.|Check the spelling|Try fewer words|Search again",
    ),
    (
        "soft404",
        "Page not found",
        "Sorry, the page you are looking for does not exist.|Go back to the home page|Contact us",
    ),
    (
        "cart",
        "Your basket",
        "Your basket is empty.|Continue shopping|Subtotal: 0.00|Proceed to checkout",
    ),
    (
        "soon",
        "Coming soon",
        "This page is under construction.|Please check back later.|Subscribe to our newsletter",
    ),
    ("share", "Share this page", "Facebook|Twitter|WhatsApp|E-mail|Copy link|Print"),
    ("tags", "All tags", ""),
    ("calendar", "Calendar", "|".join(map(str, range(1, 31))) + "|Previous month|Next month"),
    (
        "paywall",
        "Subscribers only",
        "To read on, please subscribe.|Monthly 4.99|Yearly 49.90|Already a member? Sign in",
    ),
    (
        "terms",
        "Terms of use",
        "By using {site} you agree to these terms of use and to our privacy policy.|All rights "
        "reserved. No part of {site} may be used without permission.|We use cookies. You can "
        "change your cookie settings at any time.|We may change these terms at any time without "
        "notice.|Use of this website is at your own risk.",
    ),
    (
        "privacy",
        "Privacy policy",
        "{site} takes your privacy seriously.|By continuing to browse you accept our use of "
        "cookies.|Please read our terms of use and privacy policy.|You may opt out at any time by "
        "changing the settings of your browser.|This policy was last updated this year. All rights "
        "reserved.",
    ),
    (
        "gallery",
        "Pictures",
        "|".join(f"Image {number} of 24" for number in range(1, 25)) + "|Next|Full screen",
    ),
    (
        "lorem",
        "New page",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt "
        "ut labore et dolore magna aliqua.",
    ),
)


def boilerplate(r: random.Random, site: str) -> tuple[str, str, list[str]]:
    """Kind, title and lines of a page that says nothing of its own."""
    kind, title, text = r.choice(_PAGES)
    if kind == "tags":
        words = r.sample(GOODS + CLUBS + TOWNS, 18)
        return kind, title, [f"{word} ({r.randint(1, 40)})" for word in words]
    lines = text.format(site=site).split("|")
    return kind, title, lines * r.randint(1, 3) if kind == "lorem" else lines


_CODE = (
    "def mean(values):\n    return sum(values) / len(values)\n\nprint(mean([{a}, {b}, {c}]))",
    "total = 0\nfor number in range({a}, {b}):\n    if number % {c} == 0:\n"
    "        total += number\nprint(total)",
    "SELECT name, year\nFROM records\nWHERE year > 1{b}{c} AND shelf = {a}\nORDER BY year;",
    "int area(int width, int height) {{\n    return width * height;\n}}\n\n"
    "int main() {{ return area({a}, {b}) < {c}; }}",
    'const parts = "{a},{b},{c}".split(",");\nfor (const part of parts) {{\n'
    "  console.log(part);\n}}",
    "curl --head http://localhost:80{c}/records/{a}\nsleep {b}\necho done",
    "let rec power x n =\n  if n = 0 then 1 else x * power x (n - 1)\n\n"
    "let () = print_int (power {a} {c})",
)
_FORMULAE = (
    "({a}x + {b})^2 = {d}x^2 + {e}x + {f}", "y = {a}x^2 - {b}x + {c}", "a^2 + b^2 = c^{a} - {b}",
    "v = {a} t + {b} t^2 / {c}", "P(n) = {a} n / (n + {b})", "f(x) = {a} sin({b} x) + {c}",
)  # fmt: skip


def code(r: random.Random) -> str:
    """A few lines of a program."""
    a, b, c = r.randint(2, 9), r.randint(10, 99), r.randint(3, 9)
    return r.choice(_CODE).format(a=a, b=b, c=c)


def formula(r: random.Random) -> str:
    """A formula in plain characters, powers written with ^."""
    a, b, c = r.randint(2, 9), r.randint(2, 9), r.randint(2, 9)
    return r.choice(_FORMULAE).format(a=a, b=b, c=c, d=a * a, e=2 * a * b, f=b * b)
