"""Another version on the same requests: asked, compared, and whether going back would help."""
