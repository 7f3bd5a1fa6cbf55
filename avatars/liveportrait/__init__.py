"""LivePortrait (Guo et al. 2024): implicit keypoints move a portrait. Needs torch; the modules are imported by name."""
