"""`make demo`: a week of history, then an incident in a terminal. Its data, its Meta and its Slack are its own."""
