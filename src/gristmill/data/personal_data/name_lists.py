"""Names and other capitalised words, written down for the tagger of persons.

The tagger is trained on sentences filled from these lists, and knows at any later time which words
stand in them. They are ordinary names of many countries, picked by hand; nobody in particular.
"""

from __future__ import annotations

from typing import Final

FIRST_NAMES: Final = tuple(
    """
James John Robert Michael William David Richard Joseph Thomas Charles Christopher Daniel Matthew
Anthony Mark Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Edward Ronald Timothy
Jason Jeffrey Ryan Jacob Gary Nicholas Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin
Samuel Frank Gregory Raymond Alexander Patrick Jack Dennis Jerry Tyler Aaron Jose Henry Adam
Douglas Nathan Peter Zachary Kyle Walter Harold Jeremy Ethan Carl Keith Roger Gerald Christian
Terry Sean Arthur Austin Noah Lawrence Jesse Joe Bryan Billy Jordan Albert Dylan Bruce Willie
Gabriel Alan Juan Logan Wayne Ralph Roy Eugene Randy Vincent Russell Louis Philip Bobby Johnny
Bradley Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Nancy Lisa
Margaret Betty Sandra Ashley Dorothy Kimberly Emily Donna Michelle Carol Amanda Melissa Deborah
Stephanie Rebecca Laura Helen Sharon Cynthia Kathleen Amy Shirley Angela Anna Ruth Brenda Pamela
Nicole Katherine Virginia Catherine Christine Samantha Debra Janet Rachel Carolyn Emma Maria
Heather Diane Julie Joyce Victoria Kelly Christina Joan Evelyn Lauren Judith Olivia Frances Martha
Cheryl Megan Andrea Hannah Jacqueline Ann Jean Alice Kathryn Gloria Teresa Doris Sara Janice Julia
Grace Judy Theresa Rose Beverly Denise Marilyn Amber Danielle Brittany Diana Abigail Jane Natalie
Lori Tiffany Alexis Kayla Chloe Sophie Lucy Charlotte Harriet Imogen Freya Isla Poppy Alfie Archie
Oscar Harry Callum Rhys Gareth Ewan Hamish Angus Fiona Moira Siobhan Niamh Aoife Ciaran Declan Liam
Eoin Hans Klaus Jürgen Wolfgang Dieter Uwe Stefan Andreas Matthias Tobias Florian Sebastian Lukas
Maximilian Heike Sabine Monika Petra Ursula Renate Ingrid Greta Lena Katharina Anke Birgit Gisela
Heinz Gerhard Pierre Jean-Paul Jacques Michel François Philippe Nicolas Julien Antoine Guillaume
Étienne Mathieu Camille Chantal Brigitte Isabelle Nathalie Sylvie Céline Amélie Manon Léa Hélène
Margaux Élodie Carlos Luis Javier Miguel Alejandro Fernando Diego Sergio Pablo Rafael Jorge Manuel
Ricardo Álvaro Carmen Isabel Lucía Elena Pilar Marta Rosa Beatriz Ana Silvia Raquel Mercedes Paloma
Ximena Guadalupe Marco Luca Giovanni Giuseppe Francesco Alessandro Matteo Lorenzo Stefano Roberto
Giulia Francesca Chiara Federica Valentina Paola Martina Sofia Ilaria João Pedro Tiago Rui Nuno
Inês Catarina Mariana Joana Thiago Gustavo Fernanda Juliana Camila Larissa Anders Lars Erik Johan
Mikael Björn Sven Nils Henrik Magnus Karin Astrid Kerstin Birgitta Annika Solveig Ingeborg Jukka
Matti Timo Aino Liisa Päivi Jan Piotr Krzysztof Andrzej Paweł Marek Tomasz Katarzyna Małgorzata
Agnieszka Ewa Joanna Zofia Jakub Jiří Petr Pavel Zdeněk Lenka Ivana Katalin László István Gábor
Zoltán Ágnes Ion Mihai Andrei Elena Ivan Dmitry Sergei Alexei Vladimir Nikolai Mikhail Yuri Oleg
Igor Olga Natasha Svetlana Irina Tatiana Oksana Bohdan Taras Nikos Giorgos Dimitris Kostas Eleni
Vasiliki Mehmet Mustafa Ahmet Hüseyin Emre Ayşe Fatma Zeynep Elif Selin Ali Omar Hassan Mohamed
Ahmed Khalid Youssef Tariq Karim Samir Fatima Aisha Layla Zainab Amina Nadia Yasmin Rania David
Moshe Yael Noa Avi Shira Rajesh Amit Sanjay Vijay Ravi Anil Suresh Rahul Arjun Vikram Priya Anjali
Sunita Kavita Deepa Lakshmi Meera Pooja Neha Divya Wei Ming Jun Hao Lei Xiaoming Yan Li Mei Fang
Xiu Ying Hui Ling Hiroshi Kenji Takashi Yuki Haruto Satoshi Akira Sakura Yoko Keiko Akiko Naoko Emi
Minjun Jiho Seojun Jiwoo Sooyoung Eunji Hyun Thanh Minh Nguyet Linh Tuan Duc Kwame Kofi Ama Akua
Chinedu Emeka Ngozi Adaeze Olumide Folake Tunde Yetunde Thabo Sipho Nomsa Zanele Lerato Wanjiku
Kamau Otieno Achieng Abebe Tigist Moussa Fatou Aminata Ibrahima Bob Bill Jim Tom Mike Dave Steve
Chris Matt Dan Ben Sam Nick Tony Ken Ron Tim Jeff Greg Ray Alex Pat Sue Liz Kate Beth Jen Meg Becky
Maggie Debbie Cindy Sandy Kathy Jill Tina Wendy Gina Dana Robin Leslie Lynn Stacy Tracy Jamie Casey
Morgan Taylor Riley Avery Quinn Blake Cameron Drew Hayden Skyler Rowan Mateo Santiago Leonardo
Isabella Mia Ella Ava Lily Zoe Nora Violet Stella Hazel Aurora Penelope Ivy Max Franz Otto Hugo
Leon Theo Ida Clara Ernst Karl Fritz Emil Felix Erich Rosalind Marie Ada Isaac Elijah Mason Lucas
Aiden Jackson Levi Wyatt Carter Owen Caleb Hunter Isaiah Landon Connor Ezra Miles
""".split()
)

# An underscore stands for the space in 'van Dijk'.
LAST_NAMES: Final = tuple(
    """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez
Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark
Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams
Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker
Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez Ortiz Morgan Cooper
Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood James
Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Long Ross Foster
Jimenez Powell Jenkins Perry Russell Sullivan Bell Coleman Butler Henderson Barnes Fisher Vasquez
Simmons Romero Jordan Patterson Alexander Hamilton Graham Reynolds Griffin Wallace West Cole Hayes
Bryant Herrera Gibson Ellis Stevens Murray Ford Marshall Owens McDonald Harrison Kennedy Wells
Freeman Webb Tucker Burns Crawford Henry Boyd Mason Moreno Warren Dixon Hunt Hicks Holmes Palmer
Wagner Black Robertson Stone Salazar Fox Mills Meyer Rice Weaver Ryan Schmidt Hoffman Shaw
Carpenter Knight Lawson Lynch O'Brien O'Connor O'Neill McCarthy McKenzie MacLeod Fitzgerald
Gallagher Doherty Byrne Walsh Nolan Davies Lloyd Griffiths Llewellyn Pritchard Whitaker Barrett
Chapman Saunders Hargreaves Pemberton Müller Schneider Fischer Weber Meier Becker Schulz Koch Bauer
Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Krause
Lehmann Köhler Vogel Huber Gruber Bernard Dubois Durand Leroy Roux Fournier Girard Bonnet Dupont
Lambert Fontaine Rousseau Blanc Faure Mercier Chevalier Lefebvre Gauthier Perrin Fernández Torres
Domínguez Vázquez Navarro Serrano Blanco Molina Suárez Ortega Delgado Castro Ibáñez Rossi Russo
Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Conti Bruno Gallo Costa Giordano Mancini
Rizzo Silva Santos Oliveira Souza Rodrigues Almeida Carvalho Gomes Lima Araújo Ribeiro Barbosa
Cardoso Teixeira Nogueira Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson
Svensson Gustafsson Hansen Jensen Nielsen Pedersen Andersen Christensen Larsen Sørensen Rasmussen
Olsen Kristiansen Haugen Virtanen Korhonen Mäkinen Nieminen Heikkinen Kowalski Nowak Wiśniewski
Wójcik Kowalczyk Kamiński Lewandowski Zieliński Szymański Novák Svoboda Dvořák Černý Procházka Nagy
Szabó Horváth Tóth Varga Popescu Ionescu Dumitru Ivanov Petrov Smirnov Kuznetsov Popov Volkov
Sokolov Morozov Fedorov Shevchenko Bondarenko Kovalenko Papadopoulos Georgiou Nikolaidis Yılmaz
Kaya Demir Şahin Çelik Öztürk Aydın Arslan Khan Hussain Malik Rahman Chaudhry Siddiqui Al-Masri
Al-Sayed Haddad Mansour Nasser Aziz Saleh Cohen Levy Mizrahi Katz Friedman Goldberg Rosenberg
Shapiro Sharma Verma Gupta Singh Kumar Reddy Rao Iyer Nair Mehta Shah Desai Joshi Chopra Kapoor
Banerjee Mukherjee Das Bose Wang Zhang Liu Chen Yang Huang Zhao Wu Zhou Xu Sun Ma Zhu Hu Guo Lin Ho
Wong Chan Cheung Leung Tan Lim Sato Suzuki Takahashi Tanaka Watanabe Ito Yamamoto Nakamura
Kobayashi Kato Yoshida Yamada Sasaki Matsumoto Park Choi Jung Kang Cho Yoon Jang Tran Pham Hoang
Phan Vu Dang Bui Mensah Owusu Boateng Asante Okonkwo Eze Nwosu Adebayo Ogunleye Balogun Okoro
Dlamini Nkosi Khumalo Ndlovu Mwangi Njoroge Kariuki Ochieng Tesfaye Bekele Diallo Traoré Coulibaly
Keita Cissé Ndiaye Sow van_Dijk de_Vries van_den_Berg de_Boer Bakker Visser Smit Mulder Janssen
Peeters Claes Wouters Maes Hendrikx Zwart Kuiper Hoekstra Postma de_la_Cruz del_Río da_Silva
dos_Santos von_Braun von_Stein di_Stefano de_Luca la_Porta bin_Rashid ibn_Saleh le_Goff
van_der_Meer Ashford Blackwood Caldwell Donnelly Eastwood Fairbanks Goodwin Hathaway Ingram Jarvis
Kirkland Langley Merrick Norwood Osborne Prescott Radcliffe Sinclair Thornton Underwood Vance
Whitfield Yates Abbott Bishop Chandler Drake Emerson Fletcher Gardner Harper Irwin Jennings Keller
Lambert Monroe Norton Page Quinn Rhodes Sawyer Tanner Upton Vaughn Wheeler York Zimmerman Archer
Baxter Carver Dawson Farmer Glover Hooper Judd Lane Moss Nash Potter Sharp Summers Winters Frost
Marsh Banks Rivers Woods Fields Hawkins
""".split()
)

TITLES: Final = tuple(
    """
mr mrs ms miss mx dr prof professor sir lady lord rev reverend father sister captain major colonel
sergeant lieutenant judge justice senator herr frau monsieur madame mme señor señora don doña
signor signora nurse officer detective inspector coach aunt uncle grandma grandpa ing dipl
""".split()
)

# Words between the parts of a name.
PARTICLES: Final = tuple(
    """
van von der den de la le du da das dos del della di do el al bin ibn ben ten ter zu zur af av e y
st
""".split()
)

# After or before a name they say that it is a firm, a school, a street, a place, a thing.
OTHER_HEADS: Final = tuple(
    """
awards prizes medals honors honours bros courts streets schools games leagues teams universities
colleges inc ltd llc corp corporation company co gmbh ag plc group holdings partners associates
brothers sons university college school academy institute institution hospital clinic church
cathedral abbey chapel library museum gallery theatre theater stadium arena park gardens garden
square street road avenue lane drive boulevard court place way bridge river lake mount mountain
hill hills valley bay beach island islands ocean sea forest desert county district city town
village province state airport station port harbour tower hall house palace castle fort hotel inn
restaurant cafe bakery brewery foundation trust society association union council committee
commission ministry department agency bureau office bank fund insurance airlines railways motors
motor electric energy oil gas steel foods pharmaceuticals software systems technologies technology
solutions services consulting media press publishing records pictures studios entertainment games
sports club fc united rovers league cup championship tournament trophy award prize medal act law
rule theorem equation effect disease syndrome scale test method algorithm theory principle paradox
war battle treaty siege revolution dynasty empire kingdom republic party movement festival day week
month season album song novel film movie series show magazine times post journal gazette herald
tribune news review project program programme plan initiative agreement protocol declaration report
edition version model class engine phone tablet laptop camera watch car truck bike wines cheese
sauce tea coffee
""".split()
)

# Not names: months, days, languages, countries and cities, words of headings and of trade.
OTHER_WORDS: Final = tuple(
    """
Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec January February March April May June July August
September October November December Monday Tuesday Wednesday Thursday Friday Saturday Sunday
Christmas Easter Ramadan Diwali English French German Spanish Italian Dutch Portuguese Russian
Chinese Japanese Korean Arabic Hindi Latin Greek Turkish Polish Swedish American British Canadian
Australian European African Asian Indian Mexican Brazilian Irish Scottish Welsh Roman Christian
Muslim Jewish Buddhist Catholic Protestant Victorian Internet Wi-Fi Bluetooth Europe Czechia
Bohemia Moravia Slovakia Slovenia Latvia Lithuania Estonia Iceland Luxembourg Malta Cyprus Albania
Bosnia Macedonia Montenegro Kosovo Moldova Belarus Georgia Armenia Azerbaijan Kazakhstan Uzbekistan
Mongolia Nepal Bhutan Tibet Myanmar Cambodia Laos Taiwan Fiji Samoa Libya Sudan Somalia Uganda
Tanzania Rwanda Congo Angola Zambia Zimbabwe Botswana Namibia Mozambique Madagascar Senegal Mali
Niger Cameroon Gabon Togo Benin Liberia Haiti Panama Honduras Guatemala Nicaragua Ecuador Bolivia
Paraguay Uruguay Guyana Hawaii Alaska Montana Wyoming Idaho Kansas Yemen Oman Kuwait Qatar Bahrain
Dubai Afghanistan Persia Mesopotamia Babylon Sparta Carthage Gaul Prussia Galicia Catalonia
Andalusia Lombardy Sicily Sardinia Corsica Crete Normandy Brittany Burgundy Alsace Flanders Punjab
Bengal Kashmir Siberia Crimea Anatolia Patagonia Sahel Oceania Micronesia Polynesia Africa Asia
America Australia Antarctica Germany France Spain Italy England Scotland Wales Ireland Netherlands
Belgium Switzerland Austria Poland Sweden Norway Denmark Finland Russia Ukraine Turkey Greece
Portugal Hungary Romania Bulgaria Croatia Serbia Egypt Nigeria Kenya Ghana Ethiopia Morocco Algeria
Tunisia India China Japan Korea Vietnam Thailand Indonesia Malaysia Singapore Philippines Pakistan
Bangladesh Iran Iraq Israel Jordan Lebanon Syria Canada Mexico Brazil Argentina Chile Peru Colombia
Venezuela Cuba Jamaica London Paris Berlin Madrid Rome Vienna Warsaw Prague Budapest Amsterdam
Brussels Copenhagen Stockholm Oslo Helsinki Dublin Edinburgh Glasgow Manchester Liverpool
Birmingham Bristol Leeds Oxford Cambridge Munich Hamburg Frankfurt Cologne Stuttgart Dresden
Leipzig Zurich Geneva Lyon Marseille Bordeaux Toulouse Barcelona Valencia Seville Lisbon Porto
Milan Naples Turin Florence Venice Athens Istanbul Ankara Moscow Kyiv Cairo Lagos Nairobi Accra
Johannesburg Delhi Mumbai Bangalore Chennai Kolkata Beijing Shanghai Shenzhen Tokyo Osaka Kyoto
Seoul Busan Hanoi Bangkok Jakarta Manila Sydney Melbourne Brisbane Perth Auckland Wellington
Toronto Montreal Vancouver Ottawa Boston Chicago Houston Dallas Austin Denver Seattle Portland
Phoenix Atlanta Miami Detroit Philadelphia California Texas Florida Oregon Nevada Arizona Colorado
Utah Ohio Michigan Illinois Indiana Wisconsin Minnesota Iowa Kansas Missouri Nebraska Oklahoma
Louisiana Tennessee Kentucky Alabama Vermont Maine Pennsylvania Massachusetts Connecticut Maryland
Yorkshire Cornwall Kent Sussex Bavaria Saxony Tuscany North South East West Northern Southern
Eastern Western Central Upper Lower Great New Old Saint San Santa Los Las Windows Linux Android
Python Java Excel Word Google Amazon Microsoft Apple Facebook Twitter Instagram Netflix YouTube
LinkedIn Wikipedia Slack Zoom Samsung Sony Toyota Honda Volkswagen Boeing Airbus Siemens Bosch
Nestlé Unilever Oracle Intel Cisco Adobe Spotify Uber Airbnb PayPal Visa Mastercard President
Minister Director Manager Chairman Secretary Treasurer Engineer Analyst Developer Designer
Consultant Accountant Assistant Coordinator Specialist Supervisor Executive Officer Team Customer
Client Account Accounts Employee Employer Performance Review Reviews Summary Overview Introduction
Conclusion Background Methods Results Discussion References Appendix Contents Chapter Section
Figure Table Page Part Volume Step Note Notes Warning Important Tip Question Answer Example
Strengths Weaknesses Areas Improvement Development Goals Objectives Communication Leadership
Teamwork Collaboration Initiative Creativity Adaptability Delegation Time Management Project
Projects Product Products Service Services Sales Marketing Finance Human Resources Legal Operations
Research Support Training Security Privacy Policy Terms Conditions Contact About Home Search Menu
Login Register Download Upload Submit Cancel Save Delete Edit View Open Close Print Share Follow
Like Comment Reply Subscribe Newsletter Cart Checkout Payment Shipping Delivery Returns Order
Orders Invoice Receipt Quote Price Total Subtotal Discount Free Sale Offer Date Subject From To Cc
Dear Hello Hi Thanks Thank Regards Sincerely Best Kind Yours Meeting Agenda Attendees Minutes
Action Items Item Status Active Pending Revenue Quarter Annual Monthly Weekly Daily Budget Cost
Costs Profit Growth Market Industry Business Enterprise Cloud Data Platform Application Software
Hardware Network Server Database System User Users Guide Manual Tutorial Installation Configuration
Settings Options Features Feature Update Release Version Build Test Error Bug Issue Fix Request
Response Message Email Phone Address Name First Last Gender Age Nationality Occupation Position
Title Department Location Region Country Street Advanced Basic General Special Standard Premium
Professional Personal Public Private International National Federal Global Local Royal Imperial
Supreme High Court Parliament Congress Senate House Army Navy Air Force Police Fire Red Blue Green
Black White Golden Silver Big Little Star Sun Moon Earth Mars Afghan Albanian Algerian Andean
Angolan Arab Arabian Aramaic Argentine Armenian Aryan Athenian Austrian Aztec Babylonian Balkan
Baltic Bantu Basque Belgian Bengali Berber Bolivian Bosnian Breton Buddhism Bulgarian Burmese
Byzantine Cambodian Caribbean Catalan Catholicism Caucasian Celtic Chilean Christianity Colombian
Congolese Cornish Croatian Cuban Czech Danish Egyptian Estonian Ethiopian Filipino Finnish Flemish
French Gaelic Georgian Germanic Ghanaian Gothic Gujarati Haitian Hawaiian Hebrew Hellenistic Hindu
Hinduism Hungarian Icelandic Inca Indo-European Indonesian Iranian Iraqi Islam Islamic Israeli
Jainism Jamaican Jew Judaism Kazakh Kenyan Khmer Kurdish Lao Latvian Lebanese Libyan Lithuanian
Macedonian Malay Maltese Mandarin Marathi Marxist Mayan Mediterranean Mesopotamian Mongol Mongolian
Moroccan Mughal Nepali Nigerian Nordic Norman Norse Norwegian Orthodox Ottoman Pakistani
Palestinian Persian Peruvian Phoenician Polynesian Prussian Punjabi Romance Romanian Sanskrit Saxon
Scandinavian Semitic Serbian Sicilian Sikh Sikhism Slavic Slovak Slovenian Somali Soviet Sumerian
Sunni Shia Swahili Swiss Syrian Tamil Taoism Telugu Thai Tibetan Trojan Tunisian Turkic Ukrainian
Urdu Uzbek Venetian Vietnamese Viking Yiddish Yoruba Zulu Atlantic Pacific Arctic Antarctic Alps
Andes Himalayas Sahara Amazon Nile Danube Rhine Thames Mississippi Neolithic Paleolithic
Renaissance Baroque Enlightenment Medieval Neoclassicism Romanticism Gnosticism Venus Jupiter Sky
Ocean River Mountain Bible Quran Torah God Internet Web Online Digital Smart Mobile Pro Plus Ultra
Mini Lite Studio Suite Labs Works Hub Point Link Net Tech Soft Bio Med Care Health The A An This
That These Those It He She They We You I In On At By For With From As If When While Although
Because Since After Before During However Therefore Moreover Furthermore Meanwhile Finally First
Second Third Next Then Also Additionally Overall Please Our Your His Her Their My Its One Two Three
All Many Most Some Several Each Every Both No Not Yes There Here Where Who What Why How Which Can
Could Will Would Should May Must Do Does Did Is Are Was Were Be Have Has Had Let But And Or So Yet
Once Upon
""".split()
)

# What persons are to others: near a name.
ROLES: Final = tuple(
    """
manager director engineer teacher doctor nurse lawyer analyst designer developer editor author
reporter professor student neighbour plumber electrician accountant secretary president chairman
treasurer minister senator mayor captain coach goalkeeper striker singer guitarist drummer painter
sculptor novelist poet physicist chemist biologist historian mathematician philosopher composer
actor actress brother sister father mother uncle aunt cousin grandmother grandfather wife husband
son daughter friend colleague boss landlord tenant patient client customer contact applicant
candidate witness defendant plaintiff judge farmer baker founder owner photographer librarian
translator recruiter supervisor consultant assistant representative
""".split()
)

# What stands in lower case elsewhere: verbs and nouns that begin sentences, headings and entries.
COMMON_WORDS: Final = tuple(
    """
about above according across add after again against ago ahead air allow almost alone along already
am among amount any anybody anyone anything anyway apart apply around ask asked avoid away back bad
ball because before begin behind being below beneath beside besides better beyond birthday body
born bought break bring broad built bus buy by call called came case catch cause change charge
check child children choose class clean clear close code cold come common compare complete connect
consider contain continue cook cover create current cut dark day deep describe despite detail
different do door double down draw dream drink drop dry due during dust early easily easy eat edge
either else end english enjoy enter entry even ever everybody everyone everything except expect
experience eye face fact fall family far fast feel few field figure file fill final find fine
finish fire fish fit five flight floor fly food foot form forward found four fresh friend front
full fun future game gather get getting gift give given glass gone good got grass ground grow grown
guess had half hand hands happen hard head hear heart heat heavy height held help high hit hold
hole home hot hour how huge idea if image include increase inside instead into inside issue job
join jump just keep key kind kitchen knowledge land large last late lead learn least leave left
legal less letter level life light like line list live load local long look lose lot low lower
lunch machine made main make making map mark matter maximum mean measure meat member method middle
milk mind minimum minute mix model money month more morning most mother mouth move much music must
near nearly neck neither nest never nice night nobody none noon normal north nothing nowhere object
of off offer oil okay old once only open order other out outside over own pack paint pair paper
parents park parking pass past pay peace pick piece plan plant play player point population post
power prepare present press prevent prior private probably problem process produce program public
pull purpose push put quick quickly quiet quite race rain raise rate rather ratio reach read reader
real really reason receive recent record reduce regular related remember remit remove repeat
replace required rest result return rice rich ride right ring rise road rock roll roof room round
row rule run said salt same sample save school score sea search seat second see seem select sell
send sense serve set seven several shall shape share short show side sign simple sing single sit
six size skin skip sleep slow small smell snow soft some somebody someone something sometimes soon
sort sound source space special speed spend spring staff stage stand start state stay step still
stop storage store story straight strange strong such sugar suggest suitable summer supply sure
surface switch sworn take taken talk tall taste tell temperature ten test text than thanks that
them themselves thick thin thing think thousand three through throughout throw till tiny to today
together tomorrow tonight too took top toward towards traffic train travel tree trip true try turn
twice two type under unless unlike until up upon use used useful usually value vary very via video
view visit voice wait wake walk wall want warm wash water way we wear weather week weight well went
were wet whatever wheel whenever whether while whole whose why wide wild win wind window winter
wish within without wonder wood work world worry worse worst worth would write wrong year yesterday
young yourself zero appraisal applicant author blocked claimant chief commit delegation discharge
excused expires absolutely accordingly actually additionally admittedly afterwards all altogether
apparently approximately arguably basically certainly classified clearly closely commonly compared
consequently conversely correspondingly currently curiously derived designed despite directly
essentially eventually evidently exactly extremely fortunately founded frankly frequently fully
further furthermore generally given gradually granted hence historically honestly hopefully
importantly indeed initially instead interestingly known largely lately later likewise literally
located luckily mainly maybe meanwhile moreover mostly namely naturally nevertheless nonetheless
normally notably obviously occasionally officially often originally otherwise overall partly
perhaps personally possibly practically presumably previously primarily rarely recently regardless
relatively reportedly roughly seldom seriously set shortly significantly similarly simply situated
slightly sometimes somehow soon specifically strangely strictly subsequently suddenly supposedly
thankfully therefore thereby thus traditionally truly typically ultimately unfortunately unlike
usually various virtually whereas widely written yet hey wow yeah hello bye ugh wait ok dude guys
folks sure anyways btw imho lol haha please spoiler spoilers warning rated reviewed watching
watched avoid maintainer next owner passenger plan present questions reviewer ship shipping subject
ability access accident achievement acid activity actor adapter addition administration adult
advance advantage adventure advertisement advice affair agent agreement aircraft alarm album alert
alley alliance almond ambulance amplifier analysis anchor ancient angle animal anniversary annual
ant anthem antenna apple appliance appointment approach apron aqua arch architecture archive area
argument arm army arrow art artist asset athlete atlas atom attempt attention attic auction
audience audio author automatic autumn award axis baby backup badge bag balance balcony ballet
balloon bamboo banana band bank banner bar barley barn barrel base baseline basin basket bass bath
battery beach beacon beam bean bear beauty bed bedroom bee beef beer belief bell belt bench benefit
berry bicycle bird biscuit bitter blade blanket blast blend block blog blood bloom board boat body
bolt bomb bond bone bonus boot border bottle bottom bowl bracket brain branch brand brass bread
breakfast breath breeze brick bridal bridge bright bronze broom brother bubble bucket buffer bulb
bull bullet bundle bureau burger burn bush butter button cabin cabinet cable cactus cake calendar
camp campaign campus canal candle candy canvas canyon cap capacity capital caravan carbon card
cargo carpet carriage carrot cart cartoon castle casual cat catalogue cathedral cattle cave ceiling
celebration cell cement cemetery census ceramic cereal ceremony certificate chain chair chalk
challenge champion channel chapter character charity charm chart cheap checklist cheese chemical
cherry chess chest chicken chip chocolate choice choir chorus chronicle cinema circle circuit
circus citizen civic clay clinic clock cloth clothing cloud clover clown coal coast coat cobalt
cobra cocktail coconut code coin collar collection colony colour column comb combat comedy comet
comfort comic command commerce commercial community compact compass competition complex component
concert concrete condition cone conference conflict congress connector contest context contrast
control convention cookie copper copy coral core corn corner corona correction corridor cosmic
cotton couch council counter couple coupon courage course cousin craft crane crash cream creative
creature credit creek crew cricket crime crisis critic crop crossing crow crowd crown cruise
crystal cube culture cup curry curtain curve custom cycle cylinder daily dairy dairies dam dance
danger darkness dash dawn deal debate debt decade decision deck declaration decorator defence
degree delight delta demand democracy density dental depot deputy design desk dessert destiny
detail detective device diamond diary dice dictionary diesel diet dinner dinosaur diploma direction
dirt disc discipline discovery dish disk display distance district dive diversity dock doctrine dog
doll dollar dolphin domain dome dose dough dove dragon drama drawer drill driver drone drum duck
duel dune duty eagle ear earth earthquake east echo eclipse ecology economic economy editor effort
egg elbow election electric element elephant elevator elite embassy ember emerald emergency emotion
empire employment enamel encounter ending enemy engine engineering envelope environment episode
equal equipment escape essay essence estate ethics evening event evergreen evidence evolution exam
exchange exhibition exit expedition expense experiment expert export express extension extra fabric
facility factor factory failure fairy faith falcon fame fan fantasy fashion fate fault favourite
feast feather federation fence fern ferry fever fiber fiction fiddle fight filter finger finish
firefly firm flag flame flash flat fleet flesh flint flower fluid flute fly foam focus fog folder
folk football fork formula fortress fortune forum fossil fountain fox fraction fragment frame
freedom freeze freight frequency frog frontier fruit fuel function fungus furniture fusion galaxy
gallery game gap garage garlic garment gate gateway gazette gear gem gender general generation
genesis genius gentle geography ghost giant ginger glacier glamour global globe glory glove glue
goat goddess gold golf goose gospel gourmet government grace graduate grain grammar grand granite
grape graph graphite gravel gravity grid grill grocery grove guard guest guidance guild guitar gulf
gun habit hair halo hammer hamster harbor hardware harmony harness harp harvest hat hatch hawk hay
hazard headline headquarters healing healthcare helmet herb heritage hero heron highway hobby
hockey hollow honey honour hood hook horizon horn horror horse horticulture hospitality host
household housing human humour hurricane hybrid hygiene ice icon identity idol illusion imperial
import impulse incident income independence index industrial infinity influence innovation input
insect insight inspiration instrument integrated intelligence interest interior interval invasion
invention inventory iron island ivory jacket jade jail jam jar jazz jelly jet jewel journey joy
judgment juice jungle junction junior jury justice kettle keyboard kidney king kingdom kiss kite
knife knot label laboratory labour lace ladder lady lamp language lantern laptop laser laundry lava
lavender law lawn layer lead leaf league leather lecture legacy legend leisure lemon lens lesson
letters liberty licence lid lift lighthouse lightning lily limb lime limit linen link lion liquid
literature lobby lock locomotive lodge logic logistics lotus lounge love loyalty luck luggage
lumber lunar luxury magic magnet mail mall mammal mandate mango mansion manual maple marathon
marble margin marina marine market marriage mask mass master match mathematics matrix meal meadow
media medicine medium melody melon memorial memory mental menu merchant mercury mercy merger
message metal meteor metro microphone midnight migration military mill mineral mining ministry
minor miracle mirror mission mist mobile mode modern module moment monitor monkey monster monument
moral mortgage mosaic mosque moth motion motor mountain mouse mud mural muscle museum mushroom
music mustard mutual mystery myth nail narrative native nature naval navigation nectar needle nerve
network neutral newspaper nickel night noble noise nomad northern nose notebook notion novel
nuclear nursery nut oak oasis oat obsidian ocean octopus olive omega onion opal opera operation
opinion optical option oracle orange orbit orchard orchestra orchid organic organ origin ornament
outdoor outlet outlook oven owl ox oxygen oyster package paddle pageant palace palm panda panel
panic panther parade paradise parcel parish parliament parrot partner party passage passion
passport password pasta paste patch path patriot pattern pause pavement pavilion peach peak peanut
pear pearl pebble pelican pencil pension pepper perfect performance perfume period permit personal
petal petrol phantom phase phoenix photo physical physics piano picnic picture pie pig pigeon
pillow pilot pine pink pioneer pipe pipeline pirate pistol pixel pizza plaque plasma plastic plate
platform platinum playground pleasure plot plum pocket poem poetry poison polar pole politics
pollution polo pond pony pool pop porcelain portal portfolio portrait pot potato pottery powder
practice prairie prayer prediction premium prime prince princess print prism prison private probe
prophet proposal prosperity protein proud proverb province pudding pulse pump pumpkin pupil puppet
pure puzzle pyramid quality quantum quarry quartz queen quest quilt rabbit radar radiant radio rail
railway rainbow ranch random range ranger rapid raven ray razor recipe recovery reef referee reform
refuge regal regiment region regulator religion remote repair republic reserve resort resource
restaurant retail retreat revenue revolution rhythm ribbon riddle ridge rifle river roast robot
rocket romance rooster root rope rose route routine royal rubber ruby rugby ruin rumour runner
rural rush saddle safari safety saga sail saint salad salmon salon salt sand sandwich sapphire
satellite satin sauce savage savings scandal scarlet scene scholar science scout screen screw
sculpture seafood seal season secret sector seed senior sequence serpent servant session setup
shadow shaft shark sheep shell shelter shepherd shield shine shirt shock shoe shop shore shower
shuttle sight signal silence silent silk silver simulation sister skeleton sketch skill skull slate
slave sleeve slice slope smoke snake social soil solar soldier solid solution sonata soul soup
southern spa sparrow spark spectrum speech sphere spice spider spirit splash sponge spoon sport
spot spruce squad squirrel stadium staircase stallion stamp standard starfish statement static
statue status steam stem sterling stitch stock stomach stove strategy straw strawberry stream
strength stress strike string stripe structure student studio style submarine subway success suit
summit sunrise sunset sunshine supermarket surgeon surgery survey swan sweater sweet sword symbol
symphony syndicate syrup table tailor talent tank tape target tavern taxi team telecom telegraph
telescope television temple tennis tent terminal terrain territory textile theatre theme theory
therapy thesis thistle thread thrill throne thunder tide tiger tile timber tin tissue titan toast
tobacco tomato tongue tool tooth torch tornado tortoise tour tourism tournament toy track tractor
trade tradition tragedy trail transit trap treasure tribe tribute trophy tropical trouble truck
trumpet trunk trust truth tube tunnel turbine turtle twilight twin union unique unity universe
urban uranium valley vanilla vault vegetable vehicle velvet venture verdict vessel veteran victory
villa village vine vinegar vintage violin virtual virus vision vital vitamin vocal volcano voltage
volunteer vortex voyage wagon warehouse warrior watch waterfall wave wax wealth weapon weaving
wedding welcome western wet whale wheat whisky whistle wilderness willow wine wing winner wire
wisdom witch witness wolf wonder wooden wool workshop worship wreck wrist yacht yard yarn yellow
yoga youth zebra zinc zone zoo
""".split()
)

PRONOUNS: Final = ("he", "she", "his", "her", "him", "himself", "herself", "hers", "who", "whom")
