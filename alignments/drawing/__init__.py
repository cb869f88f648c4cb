"""How the judged rows were drawn: words, dialogues and changed texts, as blank rows and as sheets for a reader."""
