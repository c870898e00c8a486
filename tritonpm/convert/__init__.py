"""From one artefact to another, and the proof that the answers stayed."""
