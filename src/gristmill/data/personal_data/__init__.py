"""Personal data in text: found by rules whose time is linear in the text, and masked."""
