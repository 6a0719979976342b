"""What the names that authors give to elements say: class, id, role, itemprop.

Names are cut into words at separators and at changes of case, and each word is looked up, since
`share` must be found in `post-share` and `shareBar`, but not in `shareholder`. A name is a cue and
no proof: the rules keep what a cue speaks against where most of the page's text lies in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gristmill.data.extract.code import CODE_NAMES

# Categories of cues, as they appear in the reasons of what was dropped.
NONE = 0
MAIN = 1
NAVIGATION = 2
SHARE = 3
RELATED = 4
ADVERT = 5
SIGN_UP = 6
COMMENTS = 7
BYLINE = 8
CAPTION = 9
FURNITURE = 10
HIDDEN = 11
TITLE = 12
SUBTITLE = 13
OUTSIDE = 14
MEDIA = 15
REASONS = (
    "",
    "",
    "navigation",
    "share",
    "related",
    "advertisement",
    "sign-up",
    "comments",
    "byline",
    "caption",
    "furniture",
    "hidden",
    "title",
    "subtitle",
    "outside the main element",
    "media",
)

_WORDS: dict[int, str] = {
    NAVIGATION: """nav navbar navigation menu menus submenu breadcrumb breadcrumbs crumb crumbs
        pagination pager paginator paging topnav subnav sitemap skip skiplink toc masthead megamenu
        offcanvas hamburger dropdown tabbar tabs jumpto menubar navbox navlinks backtotop""",
    SHARE: """share sharing shares sharebar sharedaddy sharethis addthis addtoany social socials
        socialmedia facebook twitter pinterest whatsapp linkedin instagram reddit shareaholic
        jetpack likes follow followus bookmarks tweet""",
    RELATED: """related relateds recommended recommendation recommendations recommend recirc
        recirculation outbrain taboola trending popular mostpopular mostread readmore readnext
        morefrom suggested suggestions teaser teasers upnext carousel slider ticker zergnet
        relatedposts relatedarticles yarpp rail promo promos promobox crosspromo alsolike
        nextprev prevnext newsfeed mostviewed""",
    ADVERT: """ad ads adv advert adverts advertisement advertisements advertising adsense adslot
        adunit adbox adwrap adcontainer adwrapper banner banners dfp gpt sponsor sponsors
        sponsored sponsoring doubleclick admiral adblock advertorial commercial affiliate
        adhesion leaderboard promoted""",
    SIGN_UP: """newsletter newsletters subscribe subscription subscriptions signup signin login
        logon register registration paywall optin mailchimp mailinglist piano regwall donate
        donation cta emailsignup""",
    COMMENTS: """comments comment disqus respond commentlist livefyre discussion replies
        commenting fbcomments conversation talkback remark remarks
        reactions""",
    BYLINE: """byline bylines authorbox authorbio dateline pubdate timestamp postmeta entrymeta
        articlemeta metadata postinfo authorinfo poster
        postprofile usercard signature""",
    CAPTION: """caption captions figcaption credit credits imagecaption photocredit photographer
        attribution wpcaption imgcaption""",
    FURNITURE: """infobox footer foot footers sidebar sidebars sidenav aside cookie cookies
        cookiebar consent gdpr ccpa onetrust popup popups modal modals overlay toolbar tools
        disclaimer copyright colophon widget widgets tags taglist tagcloud categories keywords print
        printonly noprint rating ratings stars search searchform searchbar toast snackbar feedback
        rollover hovercard popover flyout
        survey poll polls quiz subfooter utility editsection mwjumplink tooltip""",
    MEDIA: "gallery slideshow video videos brightcove jwplayer lightbox",
    HIDDEN: """sr visuallyhidden screenreader offscreen srout sronly noscript""",
    TITLE: """headline hed title""",
    SUBTITLE: """subtitle subtitles subheadline subhead dek deck standfirst strapline tagline
        shortdesc shortdescription subheading""",
}
_CATEGORY = {word: kind for kind, words in _WORDS.items() for word in words.split()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _two(name: str) -> tuple[str, str]:
    first, _, second = name.partition("-")
    return first, second


# Two neighbouring words that mean what neither means alone.
_PAIRS: dict[tuple[str, str], int] = {
    pair: kind
    for kind, pairs in {
        HIDDEN: "screen-reader visually-hidden sr-only hidden-text off-screen",
        RELATED: """read-more read-next more-stories more-news more-from more-articles most-popular
            most-read most-viewed also-like up-next see-also you-may might-like next-article
            latest-news latest-posts latest-stories top-stories other-stories more-on hot-topics
            next-post prev-post previous-post post-navigation nav-links recent-posts in-case
            editors-picks further-reading story-links read-also inline-related""",
        SIGN_UP: """sign-up sign-in log-in opt-in mailing-list email-form email-capture
            call-action action-box""",
        SHARE: "follow-us like-us like-box tool-bar fb-like fb-page fb-share",
        BYLINE: """author-bio author-box author-info author-card author-meta author-description
            about-author post-meta entry-meta article-meta meta-info story-meta post-info
            article-info post-author article-author entry-author post-date publish-date
            published-date article-date posted-on read-time reading-time post-details
            author-name time-stamp story-date date-published author-details last-updated""",
        MEDIA: "image-gallery photo-gallery video-player media-player",
        CAPTION: "image-credit photo-credit wp-caption image-caption media-caption photo-caption",
        FURNITURE: """tag-list post-tags entry-tags article-tags article-topics tags-links
            entry-footer post-footer article-footer cat-links back-top edit-section
            story-footer content-footer page-footer
            site-footer""",
        COMMENTS: "comment-list leave-reply comment-form fb-comments",
        SUBTITLE: "sub-title sub-headline short-description article-description sub-heading",
        NAVIGATION: "skip-link skip-links skip-to of-contents site-header page-header",
    }.items()
    for pair in (_two(name) for name in pairs.split())
}

_SUBJECT = _words(
    "article story post entry content main body page news blog single detail text node"
)
_MATTER = _words("body content text copy main inner entry article prose paragraphs")
_JOINED_MAIN = _words(
    """articlebody entrycontent postcontent storybody articlecontent postbody maincontent
    articletext storycontent bodycopy articlecopy newsbody bodytext storytext pagecontent
    hentry blogpost bodycontent contentbody posttext maintext parsoid mwparser newstext"""
)

# "with-sidebar", "no-ads", "elementor-widget": the element is not what the next word names.
# Boxes that lie over a page and ask for something.
_ASKS = re.compile(r"cookie|consent|gdpr|dsgvo|ccpa|onetrust|popup|modal|overlay|dialog", re.I)

_UNDOES = _words(
    "with has no non without is not hide elementor in and below above code func function method"
)
_FRAMES = _words("wrap wrapper container grid layout row columns frame")
_ABOUT_THE_PAGE = _words("category tag type format status postid")
# Parts of documents as DocBook writes them: the id beside the one class is made of what they are
# about ("sect2 SYNTAX-COMMENTS").
_DOCUMENT_PARTS = _words(
    """sect1 sect2 sect3 sect4 sect5 refsect1 refsect2 refsect3 refentry refsynopsisdiv chapter
    appendix table informaltable"""
)
_LONGEST = 6
# Words that may decide; most names hold none of them.
_TOLD = frozenset(_CATEGORY) | _JOINED_MAIN | _MATTER | frozenset(second for _, second in _PAIRS)

_CUT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_CUT_LOWER = re.compile(r"[a-z]+")  # the same in a name without upper case, in half the time
_CACHE_LIMIT = 50_000
# Added to the category of a name that may tell of a trail, a formula, a box of facts or code. A
# rough net: what is in it is looked at closely (`dom`, `code`).
ODD = 32
# What is known of a name, and of each of several names alike: what it tells, in these bits, and
# what counts beside other names: its category's bits, whether two neighbouring words say so,
# whether it is the main text's.
_TELLS, _KIND, _SURE, _MAIN = 63, 8, 64, 128
_known: dict[str, int] = {}


def cue(name: str) -> int:
    """The category that class and id names (joined by spaces) speak for; NONE where for none."""
    return told(name) % ODD


def told(name: str) -> int:
    """`cue` of a name, and ODD added to it for an odd one."""
    known = _known.get(name)
    if known is None:
        known = _judge(name)
    return known & _TELLS


def asks(attributes: Mapping[str, str | None]) -> bool:
    """Whether an element is named as a notice about cookies or another box above the page."""
    return any(_ASKS.search(attributes.get(key) or "") for key in ("class", "id", "role"))


def forget() -> None:
    """Empties the memory of names: a benchmark that reads a page twice must not profit."""
    _known.clear()


def _judge(name: str) -> int:
    if len(_known) >= _CACHE_LIMIT:
        _known.clear()
    singles = name[:300].split()
    if len(singles) == 1:
        told = _known[name] = _judge_single(singles[0])
        return told
    if len(singles) == 2 and singles[0] in _DOCUMENT_PARTS:
        del singles[1]
    found = seen = 0
    for single in singles:
        known = _known.get(single)
        if known is None:
            known = _known[single] = _judge_single(single)
        if known:
            seen |= known
            kind = known >> _KIND
            # A pair is surer than a word, a word surer than an earlier title.
            if kind and (known & _SURE or found in (NONE, TITLE)):
                found = kind
    if seen & _MAIN and found != COMMENTS and found != HIDDEN:
        found = MAIN
    elif found and name.startswith("widget Blog "):
        found = NONE
    told = _known[name] = found + (seen & ODD)
    return told


def _judge_single(single: str) -> int:
    """What is known of one name."""
    # One after the other they are three times as fast as in one regular expression.
    odd = (
        ODD
        if "ode" in single
        or single in CODE_NAMES
        or "rumb" in single
        or "MathJax" in single
        or "rompt" in single
        or "nfobox" in single
        else 0
    )
    lower = single.islower()
    if lower and single.isalpha():
        if single not in _TOLD or single in _ABOUT_THE_PAGE:
            return odd
        words = [single]
    elif "." in single:
        return odd  # a name in a program: http.cookies
    else:
        if not lower:
            words = [word.lower() for word in _CUT.findall(single)]
        else:
            plain = single.replace("_", "-")
            if "--" in plain:  # `article__body`, and `article--wide` as well
                plain = plain.replace("---", "-").replace("--", "-")
            words = plain.split("-")
            if not "".join(words).isalpha():
                words = _CUT_LOWER.findall(single)
        if _TOLD.isdisjoint(words):
            return odd
        # Names made of a page's own title, category or number say nothing of its layout.
        if len(words) > _LONGEST or words[0] in _ABOUT_THE_PAGE:
            return odd
        # "content-sidebar-wrap" is the frame around both.
        if len(words) > 2 and words[-1] in _FRAMES and words[0] in _MATTER:
            return odd
    found = sure = main = 0
    previous = ""
    for word in words:
        if word in _TOLD:
            pair = _PAIRS.get((previous, word), NONE)
            if word in _JOINED_MAIN or (word in _MATTER and previous in _SUBJECT):
                main = _MAIN
            elif pair:
                found, sure = pair, _SURE
            elif word in _CATEGORY and previous not in _UNDOES and found in (NONE, TITLE):
                found = _CATEGORY[word]
        previous = word
    told = MAIN if main and found != COMMENTS and found != HIDDEN else found
    return told + odd + sure + main + (found << _KIND)
