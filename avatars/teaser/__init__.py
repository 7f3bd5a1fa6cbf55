"""TEASER (2025): SMIRK with tokens that carry a face's appearance. For loading alone: its authors state no licence, so
whoever has its weights must ask them before using them; `studio.weights` says so when they are opened.
"""
