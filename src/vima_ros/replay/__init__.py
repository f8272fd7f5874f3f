"""Reading of recorded bags, and reports of replays."""
