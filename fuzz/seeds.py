"""Valid inputs, from which mutations start.

Add a sample of an input's form here; what must be true of its mutations belongs to `targets`.
"""

import time

from polygon_assets.events.validation import to_row
from polygon_assets.messages import DeadLetter, FilteredAggregate, Gap, Heartbeat, encode
from polygon_assets.messages import RawAggregate as Raw

START_MS = 1_795_000_000_000
"""A whole second in November 2026."""
NOW_MS = time.time_ns() // 1_000_000
EVENT = (
    b'{"ev":"A","sym":"SPCE","v":200,"av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.4,'
    b'"h":25.5,"l":25.1,"a":25.3714,"z":50,"s":1795000000000,"e":1795000001000,"dv":"200.5",'
    b'"dav":"8642007.25","otc":true}'
)
STATUS = b'{"ev":"status","status":"success","message":"subscribed to: A.SPCE"}'
FRAMES = (b"[" + EVENT + b"," + EVENT + b"]", b"[" + STATUS + b"," + EVENT + b"]", EVENT, STATUS)

RAW = Raw(
    "A", "SPCE", 200, 25.39, 25.4, 25.5, 25.1, START_MS, START_MS + 1000,
    (START_MS + 3000) * 1000, "websocket", 8642007, 25.66, 25.3981, 25.3714, 50, True, "200.5",
)  # fmt: skip
FILTERED: FilteredAggregate = to_row(RAW)
LETTER = DeadLetter(
    "sink", "insert", "why", b"{", START_MS * 1000, "topic", 1, 2, START_MS, 1, 2, "ab"
)
GAP = Gap("gap-1", "disconnect", START_MS, START_MS + 5000, START_MS, 7, ["A.AAPL", "A.MSFT"])
BEAT = Heartbeat(
    "producer", "host:1:2", "streaming", NOW_MS - 60_000, NOW_MS, "detail", NOW_MS - 50_000,
    NOW_MS - 2000, NOW_MS, NOW_MS, 12.5, 3, {"read": 9, "forwarded": 8, "refused": 1}, 2, 9, 1,
    "reason", 250, 3, 2, ["A.AAPL: not confirmed"], "etag-abc",
)  # fmt: skip
MESSAGES = {
    "raw": (encode(RAW),),
    "filtered": (encode(FILTERED),),
    "dead letters": (encode(LETTER), b"\xff"),
    "gaps": (encode(GAP),),
    "heartbeats": (encode(BEAT), encode(BEAT).replace(b'"producer"', b'"sink"')),
}

BAR = (
    b'{"T":"AAPL","t":1795000000000,"o":10.0,"h":10.5,"l":9.9,"c":10.2,"v":100,"vw":10.12,'
    b'"n":3,"dv":"100.5","otc":true}'
)
ANSWERS = (
    b'{"status":"OK","resultsCount":1,"results":[%s],"next_url":"https://host/v3/x?cursor=a"}'
    % BAR,
    b'{"status":"OK","resultsCount":0}',
    b'{"status":"OK","symbol":"AAPL","open":1,"high":2,"low":1,"close":2,"volume":9,'
    b'"preMarket":1.5,"afterHours":2}',
)

CSVS = (
    b'channel,note\nA.MSFT,"software, mostly"\n\nA.BRK.B\n',
    b"channel\r\nA.*\r\n",
    b"A.MSFT,x\nA.BRK.B,y\n",
)
SETTINGS = (
    b"42", b"0.5", b"true", b"host:9092", b"https://host/path", b"2026-11-20T15:50",
    b"2026-12-10;2026-12-11 13:00", b"META,2026-11-16,1,2;AAPL,2026-11-17,1,4", b"24/7",
)  # fmt: skip
