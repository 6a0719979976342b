"""A small text to judge tokenizers on where none is given: one passage in many languages, and
code, maths and digits. Written for this purpose.

The passage says the same in every language, so tokens can be set against the words of its English
form, also where a language writes no spaces.
"""

from __future__ import annotations

PASSAGE: dict[str, str] = {
    "English": "The old mill stands by the river. Every morning the miller opens the gate, and the "
    "water turns the great wheel. Farmers bring their grain in sacks, wait for an hour, and carry "
    "the flour home. In winter the river freezes, and the children skate where the boats used to "
    "lie.",
    "German": "Die alte Mühle steht am Fluss. Jeden Morgen öffnet der Müller das Wehr, und das "
    "Wasser dreht das große Rad. Die Bauern bringen ihr Getreide in Säcken, warten eine Stunde und "
    "tragen das Mehl nach Hause. Im Winter friert der Fluss zu, und die Kinder laufen "
    "Schlittschuh, wo sonst die Boote lagen.",
    "French": "Le vieux moulin se dresse au bord de la rivière. Chaque matin, le meunier ouvre la "
    "vanne et l'eau fait tourner la grande roue. Les paysans apportent leur grain dans des sacs, "
    "attendent une heure et rapportent la farine chez eux. En hiver, la rivière gèle et les "
    "enfants patinent là où se trouvaient les bateaux.",
    "Spanish": "El viejo molino está junto al río. Cada mañana el molinero abre la compuerta y el "
    "agua mueve la gran rueda. Los campesinos traen su grano en sacos, esperan una hora y se "
    "llevan la harina a casa. En invierno el río se hiela y los niños patinan donde antes estaban "
    "las barcas.",
    "Polish": "Stary młyn stoi nad rzeką. Każdego ranka młynarz otwiera śluzę, a woda obraca "
    "wielkie koło. Rolnicy przywożą ziarno w workach, czekają godzinę i zabierają mąkę do domu. "
    "Zimą rzeka zamarza, a dzieci jeżdżą na łyżwach tam, gdzie dawniej stały łodzie.",
    "Turkish": "Eski değirmen nehrin kıyısında durur. Her sabah değirmenci kapağı açar ve su büyük "
    "çarkı döndürür. Çiftçiler tahıllarını çuvallarla getirir, bir saat bekler ve unu eve götürür. "
    "Kışın nehir donar ve çocuklar eskiden teknelerin durduğu yerde buz pateni yapar.",
    "Vietnamese": "Cối xay cũ nằm bên bờ sông. Mỗi sáng, người thợ xay mở cửa cống và nước làm "
    "quay bánh xe lớn. Nông dân mang thóc đến trong bao, đợi một giờ rồi mang bột về nhà. Mùa đông "
    "sông đóng băng, và trẻ em trượt băng ở nơi trước kia thuyền đậu.",
    "Russian": "Старая мельница стоит у реки. Каждое утро мельник открывает заслонку, и вода "
    "вращает большое колесо. Крестьяне привозят зерно в мешках, ждут час и уносят муку домой. "
    "Зимой река замерзает, и дети катаются на коньках там, где раньше стояли лодки.",
    "Greek": "Ο παλιός μύλος στέκεται δίπλα στο ποτάμι. Κάθε πρωί ο μυλωνάς ανοίγει τη θυρίδα και "
    "το νερό γυρίζει τον μεγάλο τροχό. Οι γεωργοί φέρνουν το σιτάρι τους σε σακιά, περιμένουν μία "
    "ώρα και παίρνουν το αλεύρι στο σπίτι. Τον χειμώνα το ποτάμι παγώνει και τα παιδιά κάνουν "
    "πατινάζ εκεί που ήταν οι βάρκες.",
    "Arabic": "تقف الطاحونة القديمة على ضفة النهر. في كل صباح يفتح الطحان البوابة فيدير الماء "
    "العجلة الكبيرة. يجلب الفلاحون حبوبهم في أكياس وينتظرون ساعة ثم يحملون الدقيق إلى بيوتهم. وفي "
    "الشتاء يتجمد النهر ويتزلج الأطفال حيث كانت القوارب.",
    "Hindi": "पुरानी चक्की नदी के किनारे खड़ी है। हर सुबह चक्कीवाला फाटक खोलता है और पानी बड़े पहिये को "
    "घुमाता है। किसान अपना अनाज बोरियों में लाते हैं, एक घंटा प्रतीक्षा करते हैं और आटा घर ले जाते हैं। "
    "सर्दियों में नदी जम जाती है और बच्चे वहाँ फिसलते हैं जहाँ पहले नावें रहती थीं।",
    "Korean": "오래된 물레방앗간이 강가에 서 있다. 매일 아침 방앗간 주인이 수문을 열면 "
    "물이 큰 바퀴를 돌린다. 농부들은 곡식을 자루에 담아 와서 한 시간을 기다렸다가 "
    "밀가루를 집으로 가져간다. 겨울이면 강이 얼고 아이들은 예전에 배가 있던 곳에서 "
    "스케이트를 탄다.",
    "Chinese": "老磨坊立在河边。每天早晨，磨坊主打开水闸，河水便推动巨大的水轮。"
    "农民们用麻袋运来谷物，等上一个小时，再把面粉带回家。"
    "冬天河面结冰，孩子们就在从前停船的地方滑冰。",
    "Japanese": "古い水車小屋は川のほとりに立っている。毎朝、粉屋が水門を開けると、"
    "水が大きな車輪を回す。農夫たちは穀物を袋に入れて運び、一時間待って、"
    "粉を家に持ち帰る。冬には川が凍り、子どもたちは以前船があった場所でスケートをする。",
    "Thai": "โรงสีเก่าตั้งอยู่ริมแม่น้ำ ทุกเช้าคนสีข้าวจะเปิดประตูน้ำ แล้วน้ำก็หมุนกังหันใหญ่ "
    "ชาวนานำข้าวใส่กระสอบมา รอหนึ่งชั่วโมง แล้วขนแป้งกลับบ้าน ในฤดูหนาวแม่น้ำกลายเป็นน้ำแข็ง "
    "และเด็กๆ ก็เล่นสเกตตรงที่เคยมีเรือจอด",
}

CODE: dict[str, str] = {
    "Python": '''def grind(sacks: list[Sack], wheel: Wheel, *, coarse: bool = False) -> float:
    """Kilograms of flour from some sacks; a broken sack is skipped."""
    flour = 0.0
    for number, sack in enumerate(sacks, start=1):
        if sack.weight <= 0 or not sack.whole:
            logger.warning("sack %d skipped", number)
            continue
        flour += sack.weight * (0.72 if coarse else 0.65)
    return round(flour, 3)
''',
    "C": """static int wheel_turn(struct wheel *w, const size_t n)
{
\tfor (size_t i = 0; i < n; ++i) {
\t\tw->angle = (w->angle + 7) % 360;
\t\tif (w->gate != NULL && w->gate->level < 0x1F)
\t\t\treturn -EAGAIN;
\t}
\treturn 0;
}
""",
    "HTML": """<section class="mill" id="s3">
  <h2>Opening hours</h2>
  <ul>
    <li><a href="/hours?day=mon">Monday</a>: 7:00&ndash;16:30</li>
    <li data-closed="true">Sunday: closed</li>
  </ul>
</section>
""",
    "JSON": '{"mill": {"wheels": 2, "grain": ["rye", "wheat"], "flow_m3": 0.85, "open": true, '
    '"notes": null}}\n',
}

MATHS = (
    r"Let $f(x) = \frac{1}{1 + e^{-x}}$; then $f'(x) = f(x)\,(1 - f(x))$, and "
    r"$\int_0^\infty x^{n} e^{-x}\,dx = n!$ for every $n \ge 0$. "
    "If a² + b² = c² and a ≤ b, then ∑ᵢ aᵢ·xᵢ ≥ √(ab) − 1/2. "
    "Solve 3x + 7 = 22: 3x = 15, so x = 5. P(A ∪ B) = P(A) + P(B) − P(A ∩ B).\n"
)

DIGITS = (
    "7 42 365 1024 2026 31415 271828 1000000 123456789 9007199254740993\n"
    "12.50 0.001 3.14159265 -273.15 1e-9 6.022e23 1,234,567.89 99.95%\n"
    "2024-02-29 23:59:59 192.168.0.1 +49 30 1234567 0x1F600 4:3 1/7\n"
    "12345+67890=80235 999*999=998001 1000-1=999 144/12=12 2**64=18446744073709551616\n"
)
