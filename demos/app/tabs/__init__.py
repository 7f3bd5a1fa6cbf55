"""One file a tab: TITLE and build(desk). A tab parses, calls one pipeline, and shows what it gives back."""
