"""fastwarc over a WARC: type, URI, length and payload of every record, in CPU seconds."""

import json
import sys
import time

from fastwarc.warc import ArchiveIterator


def main() -> None:
    records = size = uris = 0
    started = time.process_time()
    try:
        with open(sys.argv[1], "rb") as stream:
            for record in ArchiveIterator(stream, parse_http=False):
                kind = record.record_type
                uri = record.headers.get("WARC-Target-URI")
                length = record.content_length
                payload = record.reader.read()
                records += kind is not None and length == len(payload)
                size += length
                uris += len(uri or "")
    except OSError:
        pass
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "records": records, "bytes": size, "uris": uris}))


if __name__ == "__main__":
    main()
