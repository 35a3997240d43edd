"""The campaigns in short: a few attempts of each. `make campaign` makes many."""

import campaign
import pytest

ATTEMPTS = 6
SECONDS = 5


@pytest.mark.parametrize("each", campaign.CAMPAIGNS, ids=lambda each: each.name)
def test_none_is_bad(each: campaign.Campaign) -> None:
    tried, bad = campaign.run(campaign.Campaign(each.name, each.attempts, ATTEMPTS, each.share), SECONDS, 1, 1)
    assert bad == []
    assert tried > 0
