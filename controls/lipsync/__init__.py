"""Speech to visemes by a small trained network, and visemes to motion."""
