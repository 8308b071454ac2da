"""Dated facts about providers: where bytes are, whose law reaches them, what is qualified, and how to connect."""
