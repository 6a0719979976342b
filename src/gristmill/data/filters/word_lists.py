"""Word lists that come with the rules: function words, words of honest contexts, and the phrases
of notices, forms and navigation. Adult and toxic words are the user's files.
"""

from __future__ import annotations

from typing import Final

# The commonest articles, pronouns, prepositions, conjunctions and auxiliaries of each language.
FUNCTION_WORDS: Final[dict[str, str]] = {
    "en": """the of and to in a is that it was for on are as with his they at be this from i have or
        by one had not but what all were when we there can an your which their said if do will each
        about how up out them then she many some so these would other into has more her two like
        him see time could no make than first been its who now people my made over did down only way
        find use may most also after where such both between during through while because he you
        me us our under since until against among within without upon per via being does should""",
    "fr": """le la les de des du un une et à en est dans qui que pour par sur au aux avec ce cette
        ces il elle ils elles on nous vous je tu ne pas plus son sa ses leur leurs se sont été être
        a ont avait avoir fait comme mais ou où si dont entre sous aussi très bien sans après
        depuis lors ainsi tout tous toute l'on d'un d'une qu'il c'est n'est""",
    "es": """el la los las de del un una unos unas y e o u a al en es que por para con se su sus lo
        le les no más como pero fue son ser era han ha había está están este esta estos estas entre
        sobre sin también desde hasta cuando donde muy ya todo todos toda ella él ellos durante
        tras según si nos yo tu mi""",
    "de": """der die das den dem des ein eine einen einem einer eines und oder aber in im an am auf
        aus bei mit nach von vom zu zum zur für über unter vor durch um ist sind war waren wird
        werden wurde wurden hat haben hatte nicht auch als wie es er sie wir ich sich sein seine
        ihre so noch nur kann dass wenn bis zwischen dieser diese dieses""",
    "it": """il lo la i gli le di del della dei delle dello degli a al alla ai alle da dal dalla in
        nel nella nei nelle con su sul sulla per tra fra un uno una e ed o ma che chi non è sono era
        erano ha hanno essere stato stata come più anche si suo sua suoi loro questo questa dopo""",
    "pt": """o a os as de do da dos das um uma uns umas e ou em no na nos nas ao à aos às por para
        com que se não é são foi era ser está mais como mas seu sua seus suas também entre sobre
        sem até quando onde muito já ele ela eles elas pelo pela""",
    "nl": """de het een en van in op te dat die is was voor met zijn aan er om ook als bij door over
        tot uit naar heeft had hebben werd worden wordt niet maar of dan nog wel hij zij ze we ik
        hun haar deze dit tussen onder na""",
}

# Medicine, anatomy, sexual health, law, education, history: where such words are frequent, a word
# of an adult list is more often meant as a term or a quotation.
HONEST_CONTEXT: Final = """
    medical medicine doctor doctors physician clinic clinical patient patients disease diseases
    disorder disorders infection infections infectious symptom symptoms syndrome diagnosis
    diagnosed treatment treatments therapy vaccine virus bacteria health healthcare hospital
    hospitals surgery surgical anatomy anatomical organ organs tissue hormone hormones
    reproductive reproduction fertility pregnancy contraception contraceptive puberty uterus
    cancer prevention risk epidemic transmission transmitted research study studies psychology
    psychological education school pupils survey law laws legal court courts criminal crime
    offence legislation statute rights constitution article articles definition term terms
    etymology language linguistics slang history historical society century species animal
    animals biology biological gender identity religion religious censorship moderators
"""

# What pages say that have nothing to say of their own.
BOILERPLATE: Final = (
    # accounts and forms
    "sign in", "sign up", "sign out", "log in", "login", "log out", "logout", "register now",
    "create an account", "create account", "create your account", "forgot your password",
    "forgot password", "reset your password", "remember me", "user name", "username", "password",
    "your account", "my account", "already a member", "already have an account", "members only",
    "subscribers only", "required fields", "submit", "enter your", "confirm your",
    # cookies and privacy
    "we use cookies", "use cookies", "uses cookies", "use of cookies", "cookie settings",
    "cookie policy", "cookie preferences", "accept cookies", "accept all", "accept all cookies",
    "reject all", "manage preferences", "save and close", "necessary cookies", "your privacy",
    "privacy policy", "privacy settings", "privacy notice", "data protection", "opt out",
    "improve your experience", "personalised ads", "third parties", "our partners",
    "information on your device", "unique identifiers", "legitimate interest",
    # terms
    "terms of use", "terms of service", "terms and conditions", "these terms",
    "all rights reserved", "you agree", "you accept", "by using", "by continuing", "at any time",
    "without notice", "at your own risk", "without permission", "last updated", "legal notice",
    "this website", "this site", "settings of your browser",
    # errors and empty pages
    "page not found", "404", "error 404", "does not exist", "page you are looking for",
    "page you requested", "no longer available", "go back", "back to home", "home page",
    "homepage", "back to top", "no results", "0 results", "search results", "your search",
    "search again", "try again", "check the spelling", "fewer words", "nothing found",
    "under construction", "coming soon", "check back later", "check back soon", "enable javascript",
    "javascript is disabled", "your browser", "access denied", "domain is for sale",
    "please wait", "loading",
    # shops
    "your basket", "your cart", "shopping cart", "shopping basket", "basket is empty",
    "cart is empty", "continue shopping", "proceed to checkout", "checkout", "add to cart",
    "add to basket", "subtotal", "wishlist", "out of stock",
    # navigation and sharing
    "contact us", "about us", "follow us", "share this", "share this page", "copy link",
    "read more", "learn more", "click here", "see more", "show more", "load more", "view all",
    "next", "previous", "next page", "previous page", "next month", "previous month",
    "full screen", "print", "sitemap", "site map", "main menu", "skip to content", "all tags",
    "facebook", "twitter", "whatsapp", "instagram", "linkedin", "pinterest", "e-mail",
    "leave a comment", "post a comment", "powered by", "imprint", "advertise with us", "jobs",
    "best viewed", "visitor number", "webmaster", "more pages", "more like this", "our app",
    "you may also like", "free shipping", "free delivery", "payment", "shipping", "returns",
    # newsletters and paywalls
    "subscribe", "please subscribe", "newsletter", "our newsletter", "unsubscribe", "to read on",
    "free trial", "monthly", "yearly",
    "lorem ipsum",
    # French, Spanish, German
    "tous droits réservés", "politique de confidentialité", "mentions légales", "se connecter",
    "mot de passe", "page introuvable", "accepter tout", "conditions d'utilisation",
    "todos los derechos reservados", "política de privacidad", "aviso legal", "iniciar sesión",
    "contraseña", "página no encontrada", "aceptar todas", "términos de uso",
    "alle rechte vorbehalten", "datenschutzerklärung", "impressum", "anmelden", "passwort",
    "privacidad", "acerca de", "contacto", "confidentialité", "à propos", "creative commons",
    "seite nicht gefunden", "alle akzeptieren", "nutzungsbedingungen",
)  # fmt: skip


def function_words() -> list[str]:
    """All languages' function words together."""
    return sorted({word for words in FUNCTION_WORDS.values() for word in words.split()})
