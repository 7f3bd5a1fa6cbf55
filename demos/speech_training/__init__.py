"""Makes the training set of the lip-sync network from synthesisers, and trains it."""
