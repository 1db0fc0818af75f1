"""A night whose every free text tries to get out of its place."""

from typing import Any

from tasks.contracts import FixedLimit, Noise, PastNight, PastSuite, Reanchored
from tasks.gate.flips import FlipCount
from tests.unit.gate.report_answers import flip
from tests.unit.gate.report_records import bill, bill_line, fields, suite, verdict

ATTACK = "</div></svg></style><script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(2)>\"'`"


def attacked(attack: str = ATTACK) -> dict[str, Any]:
    """A night whose every free text attacks."""
    texts = {"topic": attack, "prompt": attack, "right": attack, "champion_answer": attack, "candidate_answer": attack}
    one = suite(attack, reason=attack, verdict="INCONCLUSIVE", target=True)
    judged = PastSuite(name=attack, delta=0.01, anchor_delta=0.01, lifetime=0.01)
    return fields(
        samples=[{"prompt": attack, "champion": attack, "candidate": attack}],
        quarantine={attack: 1},
        verdict=verdict(
            "FAIL",
            paragraph=attack,
            problems=(attack,),
            warnings=(attack,),
            suites=(one,),
            limits=(FixedLimit(name=attack, value=1.0, limit=2.0, breached=False),),
            noise=(Noise(suite=attack, items=1, flips=0, gap=0.0, floor=0.1, cause=attack),),
        ),
        bill=bill(bill_line(attack, 1.0, device=attack), source=attack, price_book=attack, currency=attack),
        night=attack,
        recipe=attack,
        created=attack,
        flips=(flip(attack, attack, 1.0, 0.0, **texts), flip(attack, attack, 0.2, 0.5, **texts)),
        flip_counts=(FlipCount(attack, attack, 2, 1, 1),),
        past=(PastNight(at="2026-11-22T02:00:00Z", night=attack, verdict="PASS", promoted=True, suites=(judged,)),),
        reanchored=(
            Reanchored(
                at="2026-11-01T02:00:00Z",
                by=attack,
                reason=attack,
                losses=(PastSuite(name=attack, delta=None, anchor_delta=0.1, lifetime=None),),
            ),
        ),
    )
