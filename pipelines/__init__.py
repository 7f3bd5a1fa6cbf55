"""What users call: animate, edit, capture."""
