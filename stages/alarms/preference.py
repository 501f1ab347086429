"""What only preference pairs show."""

from data_contracts.histories import History
from stages.alarms.evidence import FEWEST, SURE, Finding, present, since_start

CHOSEN = "dpo/logps/chosen"
REJECTED = "dpo/logps/rejected"
MARGINS = "dpo/rewards/margins"


def both_falling(history: History) -> Finding | None:
    """Chosen completions become less likely too, if less so than the rejected: the margin grows, and what the policy
    writes instead is neither (Razin et al., arXiv 2410.08847)."""
    logged = [present(history, name) for name in (CHOSEN, REJECTED, MARGINS)]
    if min(map(len, logged)) < FEWEST:
        return None
    down, further_down, apart = map(since_start, logged)
    if down.size > 0.25 * further_down.size or apart.errors() < SURE:
        return None
    if down.errors() > -SURE or further_down.errors() > -SURE:
        return None
    return Finding(
        logged[0][0][0],
        CHOSEN,
        f"log-probabilities of chosen completions fell by {-down.size:.3g}, of rejected by {-further_down.size:.3g}, "
        f"while margins rose by {apart.size:.3g}",
    )
