"""Heads that the network of `avatars.head.regress` is trained on: people at random, rendered and found again."""
