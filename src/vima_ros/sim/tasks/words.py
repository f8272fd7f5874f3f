"""Invented words of VIMA-Bench's prompts."""

NOUNS = ("dax", "blicket", "wug", "zup")
ADJECTIVES = ("daxer", "blicker", "modier", "kobar")
