"""Scrapy on the benchmark's site: follows every link, writes every body to disk.

    python crawl_peer.py SEED FOLDER CONCURRENCY

As fast as its settings make it: uvloop, no delay, no log, no cookies, no journal of its queue (ours
keeps one), no extensions; links by one XPath instead of its link extractor, and known ones left out
by a set of the spider's own (its duplicate filter makes a request of every link first: 4.8 ms of
CPU a page instead of 1.5); bodies appended to one file without compression (ours are WARC records).
robots.txt is obeyed, by protego as in ours.
Prints {"pages", "seconds", "cpu_seconds", "bytes", "peak_mb"}.
"""

import json
import resource
import sys
import time
from pathlib import Path

import scrapy
from scrapy.crawler import CrawlerProcess

SETTINGS = {
    "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
    "AUTOTHROTTLE_ENABLED": False,
    "CONCURRENT_ITEMS": 1,  # so many tasks are made for each page, with nothing to do here
    "COOKIES_ENABLED": False,
    "DOWNLOAD_DELAY": 0,
    "EXTENSIONS": {
        "scrapy.extensions.corestats.CoreStats": None,
        "scrapy.extensions.logcount.LogCount": None,
        "scrapy.extensions.logstats.LogStats": None,
        "scrapy.extensions.memusage.MemoryUsage": None,
        "scrapy.extensions.telnet.TelnetConsole": None,
    },
    "HTTPCACHE_ENABLED": False,
    "LOG_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "RANDOMIZE_DOWNLOAD_DELAY": False,
    "REFERER_ENABLED": False,
    "ROBOTSTXT_OBEY": True,
    "TELNETCONSOLE_ENABLED": False,
}


class Pages(scrapy.Spider):
    """Every page of the site once. The clock starts at its first request: set-up does not count."""

    name = "pages"
    seen = written = 0
    began = cpu_began = 0.0
    known = set()

    async def start(self):
        Pages.began, Pages.cpu_began = time.perf_counter(), time.process_time()
        Pages.known.add(self.seed)
        yield scrapy.Request(self.seed, callback=self.parse)

    def parse(self, response):
        self.file.write(response.body)
        Pages.seen += 1
        Pages.written += len(response.body)
        for link in response.xpath("//a/@href").getall():
            url = response.urljoin(link.partition("#")[0])
            if url not in Pages.known:
                Pages.known.add(url)
                yield scrapy.Request(url, callback=self.parse, dont_filter=True)


def main() -> None:
    seed, folder, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    settings = {
        **SETTINGS,
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
    }
    with open(folder / "bodies", "wb", buffering=1 << 20) as file:
        process = CrawlerProcess(settings)
        process.crawl(Pages, seed=seed, file=file)
        process.start()
        file.flush()
        seconds = time.perf_counter() - Pages.began
        cpu = time.process_time() - Pages.cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"pages": Pages.seen, "seconds": seconds, "cpu_seconds": cpu}
    print(json.dumps({**found, "bytes": Pages.written, "peak_mb": peak}))


if __name__ == "__main__":
    main()
