"""One file a verb; each holds `app`, a Typer application, and is imported when the verb is used."""
