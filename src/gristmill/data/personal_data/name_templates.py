"""Invented sentences with places for names, from which the tagger of persons is trained.

Places: {P} a whole name, {F} a first name, {L} a last name, {A} a name in capitals, {O} a firm or
another body, {G} a place, {W} a product or a work, {H} a heading of one to four words, {D} a date,
{N} a number, {R} a role, {V} what persons do, {X} what firms and things do, {C} a noun of work,
{Q} a quality, {E} a people, a faith or a Latin name. Names stand for nobody.
"""

from __future__ import annotations

from typing import Final

PERSON_VERBS: Final = tuple(
    """
said says told asked replied answered explained wrote writes joined left met called visited married
thinks believes hopes wants wanted knows knew remembers forgot learned taught studied grew lived
lives works worked moved returned arrived stood sat smiled laughed nodded shrugged died retired
resigned became tends excels struggles shows demonstrated demonstrates received earned deserves
completed handled organised prepared presented discussed mentioned suggested recommended noted
added agreed disagreed apologised complained confirmed plays played scored won lost directed
painted composed sang performed bought sold paid owes signed drove walked ran looked felt heard saw
took gave made has had was is will would can could should needs continues consistently often always
never also who whose manages leads reports attended testified argued denied admitted suffers
complains lies sleeps eats
""".split()
)

THING_VERBS: Final = tuple(
    """
offers provides supports includes contains launched announced released acquired operates employs
sells ships covers spans hosts borders exports produces manufactures enables allows helps
integrates connects runs requires uses costs measures weighs opened closed lies stands stretches
features serves delivers builds was is has will can remains became consists works raised reported
expanded grew merged filed published processes stores encrypts automates tracks analyses displays
prints installs updates crashed
""".split()
)

WORK_NOUNS: Final = tuple(
    """
project team report contract meeting proposal budget deadline schedule account review training task
workload customer client software system process report design document invoice payment order
delivery department office company school hospital garden house car book letter song picture match
season
""".split()
)

QUALITIES: Final = tuple(
    """
strong excellent reliable valuable dedicated proactive talented skilled experienced helpful patient
quiet friendly careful creative organised punctual late tired happy busy sick ready absent new
young old
""".split()
)

WITH_NAMES: Final = (
    "{P} {V} that the {C} was late.", "{P} {V} at {O} since {D}.", "{P}, a {R} from {G}, {V} it.",
    "Yesterday {P} {V} the {C}.", "According to {P}, the {C} is {Q}.", "{F} is a {Q} {R}.",
    "{F} {V} the {C} on time, and {F} {V} it well.", "While {F} is {Q}, there is room to grow.",
    "{L} {V} in {G} in {N}.", "I spoke with {P} and {P} about the {C}.",
    "Dear {F},\nthank you for the {C}.", "Dear Mr. {L},\nplease find the {C} attached.",
    "Dear Ms {L}, your {C} is ready.", "Dr. {L} {V} the patient.",
    "Prof. {P} {V} at the University of {G}.", "Best regards,\n{P}\n{O}", "Kind regards\n{F}",
    "Sincerely,\n{P}\n{R}", "Name: {P}", "Name: {P}\nAge: {N}\nCity: {G}",
    "Employee: {P}\nDepartment: {H}", "Contact: {P} ({R})", "Attendees: {P}, {P}, {P} and {F}",
    "Attendees: {P} ({R}), {P}, {P}", "From: {P}\nTo: {P}\nSubject: {H}", "Author: {P}", "By {P}",
    "Written by {P} on {D}", "Reviewer: {P}, {R}", "Patient: {P}, born {D}",
    "- {P}: finish the {C} by {D}", "- {P}: {H}", "* {P} - {R}", "1. {P}, {O}",
    "2. {P} ({N} points)", "{P} ({N}) {V} the second half.",
    "Our primary contact at {O} is {P}, {R}.", "Our contact there is {P}.", "Account lead: {P}",
    "Our {R}, {P}, {V} the {C}.", "The {R} {P} {V} in {G}.", "{P} and {P} {V} together in {G}.",
    "My {R} {F} {V} every day.", "His {R} {P} {V} a {C}.", "Her {R}, {F}, is {Q}.",
    "My name is {P}.", "Hi, I'm {F} from {O}.", "I am {P} and I live in {G}.",
    "This is {P} speaking.", "Ask {F} about the {C}.", "Please contact {P} for the {C}.",
    "Call {P} before {D}.", "Send it to {P} in {G}.", "Thanks to {P}!", "Thank you, {F}!",
    "@{F} can you look at the {C}?", "{F}: I will be late.\n{F}: no problem.",
    "\"The {C} is {Q},\" {V} {P}.", "\"We are {Q},\" {L} {V}.", "{P} (born {D} in {G}) is a {R}.",
    "{P} ({D} - {D}) was a {R} from {G}.", "{P} was born in {G} and {V} at {O}.",
    "{L} then moved to {G}.", "In {N}, {L} published {W}.", "{W} was written by {P}.",
    "{W} by {P} is a {C}.", "{W}, starring {P} and {P}", "Directed by {P}, it stars {P}.",
    "{O} was founded by {P} in {N}.", "{O} founder {P} {V} it.",
    "{O} chief executive {P} {V} that {O} {X} more.", "Minister {P} {V} in {G}.",
    "President {L} {V} again.", "Judge {L} {V} the case of {L} against {O}.",
    "Mrs {L} and Mr {L} {V} next door.", "Sir {P} {V} there.", "{A}\n{R}\n{O}, {G}",
    "Invoice for {P}\n{N} Main Street", "Bill to: {P}", "Ship to:\n{P}\n{G}", "Account holder {P}",
    "Signed: {P}", "cc: {P}, {P}", "Passenger {P}", "Guest: {P}", "Tenant: {P}",
    "{P}'s {C} is {Q}.", "{F}'s {R} {V} it.", "It was {P}'s idea.", "We met {F} at {O} in {G}.",
    "{H}\n{P} has been a {Q} member of the team.", "Performance review of {P}",
    "Subject: Review - {P}", "In conclusion, {P} has been a {Q} {R}.", "Overall, {F} {V} well.",
    "However, {F} {V} too much.", "It is important for {L} to learn to share the {C}.",
    "I believe {L} will continue to grow.", "{F} has shown {Q} work this year.",
    "With {F} as {R}, the {C} was {Q}.", "As {F} {V}, the {C} grew.",
    "Next, {F} {V}. Then {F} {V}.", "When {P} {V}, {F} was {Q}.", "Both {F} and {F} {V}.",
    "{P} of {O} {V} in {G}.", "{P} at {O} {V}.", "{P}, {R} at {O}",
    "{P}, {N}, of {G}, {V} the {C}.", "the {C} of {P}", "the {C} by {F} and {F}",
    "with {P}, {P}, and {P}", "to {F} or {F}", "for {P} from {G}",
    "goalkeeper {P} and striker {L}", "{L} beat {L} in the final.",
    "{L} and {L} ({N}) found that it {X}.", "see {L} et al. {N}", "as {L} {V} in {N}",
    "Photo: {P}", "Image by {P} / {O}", "Posted by {P} on {D}", "{P} | {D}", "{F} wrote:",
    "On {D}, {P} wrote:", "edited by {P} and {P}", "translated by {P}", "Interviewer: {P}",
    "Emergency contact: {P} ({R})", "Referred by Dr {P}", "Witness: {P}, {G}", "{P} paid the {C}.",
    "A {R} named {F} {V}.", "a man called {P}", "Happy birthday, {F}!", "RIP {P}", "{N}. {P}",
    "{P}\n{P}\n{P}", "{P}; {P}; {P}", "Team: {F}, {F}, {F}", "Progress log - {P}'s accounts",
    "{P} | {R} | {O}", "{P}\t{N}\t{G}", "{P},{N},{G}", "Owner {P}, tel.", "ask for {P}",
    "{F} & {F}", "{F}, could you finish the {C}?", "Good morning {F},",
    "Hi {F}, hope you are {Q}.", "Hello {P}!", "We have worked with {F} for {N} years.",
    "They report to {P}.", "hired {P} as {R}", "met with {P}", "{F} mentioned the {C}.",
    "- {F} to send the {C}", "Notes: {F} {V} the {C}.", "{P} will {C} it by {D}.",
    "Mr. {L} {V} the {C}.", "Mrs. {P} {V} in {G}.", "Apologies: Mr. {L}, Ms. {L}",
    "Dr. {P}, {R}, {V}.", "Prof. {L} and Dr. {L} {V}.", "I asked Ms. {L} about it.",
    "Herr {L} {V}.", "Madame {L} {V} it.", "Capt. {L} {V}.", "{F} {V} the {C}. He is {Q}.",
    "{P} {V} it. She {V} the {C} at {O}.", "{L} {V} when he was {Q}.",
    "While {F} generally {V} the {C}, there are days when he {V} too late.",
    "{F} could use her time better.", "I would like {F} to plan his {C}.",
    "2. Communication: {F} is {Q}, and she {V} well.", "{F}'s work on the {C} is {Q}.",
    "For {F} to grow, it would help to share the {C}.", "Working with {F} is easy.",
    "{L} is a {Q} {R} and a {R}.", "Teamwork: {L} works well with others.",
    "The {C} was led by {F}.", "{F} and the team {V} the {C}.", "{P} lost his {C} in {G}.",
    "{F} gave her {C} to {F}.", "{P} and his {R} {V} in {G}.", "{P}, whose {C} is {Q},",
    "{F} handles the {C} with care.", "{L} keeps the {C} in order.",
    "{F} tries hard and asks for help.",
)  # fmt: skip

WITHOUT_NAMES: Final = (
    "{O} {X} the {C} in {G}.", "{O} and {O} {X} together.", "{W} {X} a {C}.",
    "{G} {X} in the north.", "The city of {G} {X} {N} people.", "{H}", "{H}\n{H}", "{H}: {H}",
    "1. {H}", "2. {H}: the {C} is {Q}.", "- {H}: the {C} {X}.", "* {H}\n* {H}", "{N}. {H}",
    "III. {H}", "{H} is a {Q} {C}.", "Welcome to {O}!", "At {O}, we are {Q} to {C}.",
    "With {O}, you can {C}.", "{O}'s {C} is {Q}.", "Contact {O} in {G}.", "Download {W} from {O}.",
    "Install {W} version {N} on {W}.", "{W} {N} was released on {D}.", "The {W} is a {C} by {O}.",
    "Visit {G} in {D}.", "from {G} to {G}", "in {G}, {G} and {G}", "{G}, {G}",
    "the University of {G}", "{G} University", "{G} Airport is closed.", "the {G} Street office",
    "{O} ({G})", "Located in {G}, {O} {X} a {C}.", "How does {O} work?", "What is {W}?",
    "Why {O}?", "FAQ: {H}", "Step {N}: {H}", "Chapter {N}: {H}", "Table {N}. {H}", "{O} | {H}",
    "Home > {H} > {H}", "To get started, open {W} and click \"{H}\".", "Select {H} from the menu.",
    "Press {H} to go on.", "The {H} button {X} the {C}.", "{D}: {O} {X}",
    "On {D}, {O} {X} the {C}.", "Status: {Q}", "Agenda: {H}", "Location: {G}", "Department: {H}",
    "Company: {O}", "Subject: {H}", "Title: {W}", "Product: {W}", "Customer: {O}", "{O}: {N}",
    "- {O}: ${N}", "• {O}\n  - Status: Active", "{O} (customer since {N})",
    "{W}, {W} and {W} are {Q}.", "Use {W} with {W}.", "The {G} {C} was {Q}.", "Most of {G} {X}.",
    "Our partners are {O}, {O}, and {O}.", "{O} Customer Review", "Revenue of {O}: {N}",
    "the {O} {C}", "The {O} team {X}.", "Your {O} account is {Q}.", "Our {O} app {X}.",
    "We at {O} {C}.", "Dear {H} team,", "Dear Sir or Madam,", "Dear Customer,", "Hello everyone,",
    "Best regards,\nThe {O} Team", "Thank you for choosing {O}!",
    "Terms of Service\n{O} {X} the {C}.", "Follow {O} on {W} and {W}.", "{O} Inc. {X} in {G}.",
    "{O} Ltd", "the {H} Act of {N}", "the Battle of {G}", "the Treaty of {G}", "the {G} River",
    "Lake {G}", "Mount {G}", "{G} Railway Station", "the {L} Institute in {G}",
    "{L} University {X}.", "the {L} Foundation", "{L} Street", "{L} & Sons {X}.",
    "{L} Brothers Ltd", "{F} {L} High School", "{L}'s disease is {Q}.", "the {L} equation",
    "{L} Park", "St. {F}'s Church", "Port {L}", "{L} County, {G}", "Fort {L}", "{L} Motors",
    "{L} Hall", "The {L} Hotel in {G}", "{L} Avenue", "{O} Corporation, a {Q} {C}, {X}.",
    "class {W} extends {W}", "import {W}", "raise ValueError", "SELECT Name FROM Users",
    "TODO: fix {W}", "{W}.{W}()", "HTTP GET {W}", "My Mother says hello.",
    "The Manager will reply.", "New {C} in {G}.", "Free {C} for all.", "Best {C} ever!",
    "Great {C} at a {Q} price.", "Customers love {W}.", "Users of {W} {X}.",
    "Enterprise {C} from {O}", "Small Businesses and Enterprises",
    "Over {N} users in {G}, {G}, and {G} trust {O}.", "Signal {C}", "As {O} {X}, it {X}.",
    "When {O} {X}, {G} was {Q}.", "However, {O} {X}.", "In {N}, {O} {X}.", "Since {N}, {G} {X}.",
    "Invite Team Members", "Monitor your {C}.", "Track Your {H}", "Create an Account with {O}",
    "Set Up {H}", "{O} offers the following features:\n1. {H}: {C}\n2. {H}: {C}", "Is {O} safe?",
    "Can I use {W} with {O}?", "{O} is a {Q} platform that {X} the {C}.",
    "{O} has been a {Q} customer for {N} years.", "the {E} language", "{E} architecture is {Q}.",
    "{E} {X} the {C}.", "an {E} {R} of the old school", "{E} and {E} {C}",
    "It spread from {G} to {G} with {E}.", "{E} is a {C} in the genus {E}.", "The {E} of {G} {X}.",
    "the {E} family {E}", "{G} borders {G} and {G}.", "{G}, formerly {G}, {X}.",
    "{E} {C} of the {N}s", "the {H} of {G}", "Most {E} {C} is {Q}.", "In {E} {C}, it {X}.",
    "{H} {C} in {E}", "The {H} {X} a {C}.", "{W} is {Q}.", "{O} {X} the {C}. It is {Q}.",
    "{O} keeps your {C} safe, and you can {C} it.", "{O} makes it easy to {C}.",
    "{O} is a {Q} company.", "{G} is a {Q} place. It {X}.", "{W} gives you a {Q} {C}.",
    "{O} works with your {C}.", "3. {H}: {O} {X} your {C}.", "{H}: With {O}, the {C} is {Q}.",
    "The {C} of {O} is {Q}. They {X} a {C}.", "{O} was {Q} in {N}, when it {X}.",
    "The future is {Q} for {O}, and we are {Q}.", "{O} users {X} the {C}.",
)  # fmt: skip

ORGANISATION_TAILS: Final = tuple(
    """
Inc Ltd LLC Corporation Corp Group Holdings Partners Systems Technologies Software Energy Foods
Bank Insurance Industries Health Labs Media Analytics Networks Solutions Services Motors Airlines
Capital Pharmaceuticals Logistics Press Records Foundation Institute University College Hospital
Council Society International Financial Gas Oil Manufacturing Outfitters Stores Management Care
Products
""".split()
)

HEADING_WORDS: Final = tuple(
    """
Time Management Communication Skills Areas Improvement Strengths Weaknesses Goals Next Steps
Revenue Figures Customer Status Project Overview Key Points Action Items Summary Conclusion
Introduction Features Getting Started Data Privacy Policy Security Settings Account Payment Methods
Frequently Asked Questions Technical Support User Growth Market Share Product Updates Quality
Control Risk Assessment Team Building Leadership Potential Problem Solving Media Monitoring
Sentiment Analysis Vulnerability Remote Scheduled Rides Growth Strategy Interactive Network Map
Opening Hours Terms Conditions Shipping Returns Order History Related Articles Latest News Popular
Posts About Us Contact Image Gallery Table Contents Early Life Career Legacy Plot Reception
Geography Climate Economy Education Transport History Notable People Advanced Search Quick Links
Main Menu Sign In Log Out Help Center Site Map Cookie Notice Direct Deposit Real Estate Human
Resources Supply Chain Business Intelligence Machine Learning Cloud Storage Open Source Weekly
Report Annual Meeting Staff Training Health Benefits Social Media Email Marketing Sales Forecast
""".split()
)

PRODUCT_TAILS: Final = (
    "", "", "", " Pro", " Max", " 2", " X", " Studio", " Cloud", " Mini", " One", " Plus",
)  # fmt: skip
