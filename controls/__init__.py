"""What drives a face: trackers, speech, expressions, life."""
