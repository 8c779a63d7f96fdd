"""What happened, as events; presentation apart from work."""
