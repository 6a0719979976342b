"""One thin file per stage: a config and a body; the frame that runs them; the graph."""
